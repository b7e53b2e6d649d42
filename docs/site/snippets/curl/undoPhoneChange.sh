curl http://127.0.0.1:3000/v1/phone/change/undo \
  -H 'content-type: application/json' \
  -d '{"phone_number":"+9779841234567","otp":"042917"}'
