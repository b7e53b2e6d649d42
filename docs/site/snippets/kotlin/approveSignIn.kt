package latchkey.documents

import latchkey.ApprovalRequest
import latchkey.Operation
import latchkey.Session

suspend fun approveSignIn(session: Session) {
    // example
    // The session of the app: see its guide.
    session.call(
        Operation.approveSignIn,
        ApprovalRequest(challengeId = "chl_01jd8x4n5t2qvzk7w3m9hpa6rc")
    )
    // end
}
