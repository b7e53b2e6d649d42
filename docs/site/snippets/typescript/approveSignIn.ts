import { Session } from "latchkey-web";

const session = await Session.open({ api: "http://127.0.0.1:3000" });
await session.call("approveSignIn", { challenge_id: "chl_01jd8x4n5t2qvzk7w3m9hpa6rc" });
