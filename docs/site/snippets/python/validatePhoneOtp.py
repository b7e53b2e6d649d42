import os

import requests

response = requests.post(
    "http://127.0.0.1:3000/v1/phone/otp/validate",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    json={
        "phone_number": "+9779841234567",
        "otp": "042917",
        "username": "sita",
    },
    timeout=15,
)
response.raise_for_status()
print(response.json())
