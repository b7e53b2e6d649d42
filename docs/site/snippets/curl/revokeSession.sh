curl -X DELETE http://127.0.0.1:3000/v1/sessions/ses_01jd8x4n7c3trwb5y8q2kfd9gm \
  -H "authorization: Bearer $ACCESS_TOKEN"
