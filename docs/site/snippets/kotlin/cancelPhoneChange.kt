package latchkey.documents

import latchkey.Operation
import latchkey.Session

suspend fun cancelPhoneChange(session: Session) {
    // example
    // The session of the app: see its guide.
    session.call(Operation.cancelPhoneChange)
    // end
}
