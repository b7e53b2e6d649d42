curl -X PUT http://127.0.0.1:3000/v1/me/fcm-token \
  -H "authorization: Bearer $ACCESS_TOKEN" \
  -H 'content-type: application/json' \
  -d '{"fcm_token":"dGhpcyBpcyBhIHNhbXBsZQ:APA91bSample"}'
