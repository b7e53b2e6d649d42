curl -X PATCH http://127.0.0.1:3000/v1/me \
  -H "authorization: Bearer $ACCESS_TOKEN" \
  -H 'content-type: application/json' \
  -d '{"username":"sita.sharma"}'
