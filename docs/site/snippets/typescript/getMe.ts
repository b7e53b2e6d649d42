import { Session } from "latchkey-web";

const session = await Session.open({ api: "http://127.0.0.1:3000" });
const answer = await session.call("getMe");
console.log(answer);
