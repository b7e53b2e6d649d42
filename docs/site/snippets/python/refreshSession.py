import requests

response = requests.post(
    "http://127.0.0.1:3000/v1/session/refresh",
    json={"refresh_token": "eyJhbGciOi.eyJzaWQiOi.ASNFZ4mrze8"},
    timeout=15,
)
response.raise_for_status()
print(response.json())
