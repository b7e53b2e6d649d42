import { Api } from "latchkey-web";

const api = new Api("http://127.0.0.1:3000");
const answer = await api.call("refreshSession", { refresh_token: "eyJhbGciOi.eyJzaWQiOi.ASNFZ4mrze8" });
console.log(answer);
