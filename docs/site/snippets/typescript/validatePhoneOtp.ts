import { Session } from "latchkey-web";

const session = await Session.open({ api: "http://127.0.0.1:3000" });
const answer = await session.call("validatePhoneOtp", {
  phone_number: "+9779841234567",
  otp: "042917",
  username: "sita",
});
console.log(answer);
