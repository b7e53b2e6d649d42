curl http://127.0.0.1:3000/v1/otp/send \
  -H 'content-type: application/json' \
  -d '{"phone_number":"+9779841234567"}'
