const response = await fetch("http://127.0.0.1:3000/.well-known/jwks.json");
if (!response.ok) throw new Error(`status ${response.status}`);
console.log(await response.json());
