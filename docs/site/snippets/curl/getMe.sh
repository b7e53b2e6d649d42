curl http://127.0.0.1:3000/v1/me \
  -H "authorization: Bearer $ACCESS_TOKEN"
