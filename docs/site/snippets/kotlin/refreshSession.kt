package latchkey.documents

import latchkey.Session

suspend fun refreshSession(session: Session) {
    // example
    // The session of the app: see its guide.
    session.refresh()
    // end
}
