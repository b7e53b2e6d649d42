import os

import requests

response = requests.post(
    "http://127.0.0.1:3000/v1/me/sign-in-approval",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    json={"challenge_id": "chl_01jd8x4n5t2qvzk7w3m9hpa6rc"},
    timeout=15,
)
response.raise_for_status()
