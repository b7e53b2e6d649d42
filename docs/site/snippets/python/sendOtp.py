import requests

response = requests.post(
    "http://127.0.0.1:3000/v1/otp/send",
    json={"phone_number": "+9779841234567"},
    timeout=15,
)
response.raise_for_status()
print(response.json())
