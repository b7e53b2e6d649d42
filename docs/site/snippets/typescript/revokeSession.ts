import { Session } from "latchkey-web";

const session = await Session.open({ api: "http://127.0.0.1:3000" });
await session.call("revokeSession", { session_id: "ses_01jd8x4n7c3trwb5y8q2kfd9gm" });
