curl -X POST http://127.0.0.1:3000/v1/phone/change/cancel \
  -H "authorization: Bearer $ACCESS_TOKEN"
