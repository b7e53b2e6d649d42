import os

import requests

response = requests.put(
    "http://127.0.0.1:3000/v1/me/fcm-token",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    json={"fcm_token": "dGhpcyBpcyBhIHNhbXBsZQ:APA91bSample"},
    timeout=15,
)
response.raise_for_status()
print(response.json())
