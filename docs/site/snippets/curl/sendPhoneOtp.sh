curl http://127.0.0.1:3000/v1/phone/otp/send \
  -H "authorization: Bearer $ACCESS_TOKEN" \
  -H 'content-type: application/json' \
  -d '{"phone_number":"+9779841234599","change":true}'
