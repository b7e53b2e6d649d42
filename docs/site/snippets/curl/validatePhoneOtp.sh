curl http://127.0.0.1:3000/v1/phone/otp/validate \
  -H "authorization: Bearer $ACCESS_TOKEN" \
  -H 'content-type: application/json' \
  -d '{
  "phone_number": "+9779841234567",
  "otp": "042917",
  "username": "sita"
}'
