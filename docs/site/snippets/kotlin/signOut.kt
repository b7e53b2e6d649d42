package latchkey.documents

import latchkey.Session

suspend fun signOut(session: Session) {
    // example
    // The session of the app: see its guide.
    session.signOut()
    // end
}
