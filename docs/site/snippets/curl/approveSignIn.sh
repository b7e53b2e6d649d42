curl http://127.0.0.1:3000/v1/me/sign-in-approval \
  -H "authorization: Bearer $ACCESS_TOKEN" \
  -H 'content-type: application/json' \
  -d '{"challenge_id":"chl_01jd8x4n5t2qvzk7w3m9hpa6rc"}'
