curl http://127.0.0.1:3000/v1/session/refresh \
  -H 'content-type: application/json' \
  -d '{"refresh_token":"eyJhbGciOi.eyJzaWQiOi.ASNFZ4mrze8"}'
