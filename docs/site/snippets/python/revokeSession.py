import os

import requests

response = requests.delete(
    "http://127.0.0.1:3000/v1/sessions/ses_01jd8x4n7c3trwb5y8q2kfd9gm",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    timeout=15,
)
response.raise_for_status()
