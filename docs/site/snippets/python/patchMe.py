import os

import requests

response = requests.patch(
    "http://127.0.0.1:3000/v1/me",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    json={"username": "sita.sharma"},
    timeout=15,
)
response.raise_for_status()
print(response.json())
