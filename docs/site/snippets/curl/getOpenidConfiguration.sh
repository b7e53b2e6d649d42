curl http://127.0.0.1:3000/.well-known/openid-configuration
