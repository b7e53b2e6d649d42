import requests

response = requests.get(
    "http://127.0.0.1:3000/.well-known/jwks.json",
    timeout=15,
)
response.raise_for_status()
print(response.json())
