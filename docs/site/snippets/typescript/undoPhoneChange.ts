import { Api } from "latchkey-web";

const api = new Api("http://127.0.0.1:3000");
const answer = await api.call("undoPhoneChange", { phone_number: "+9779841234567", otp: "042917" });
console.log(answer);
