import os

import requests

response = requests.delete(
    "http://127.0.0.1:3000/v1/sessions",
    headers={"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"},
    timeout=15,
)
response.raise_for_status()
