import { Session } from "latchkey-web";

const session = await Session.open({ api: "http://127.0.0.1:3000" });
const answer = await session.call("sendPhoneOtp", { phone_number: "+9779841234599", change: true });
console.log(answer);
