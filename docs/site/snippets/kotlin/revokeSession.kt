package latchkey.documents

import latchkey.Operation
import latchkey.Session

suspend fun revokeSession(session: Session) {
    // example
    // The session of the app: see its guide.
    session.call(
        Operation.revokeSession,
        "ses_01jd8x4n7c3trwb5y8q2kfd9gm"
    )
    // end
}
