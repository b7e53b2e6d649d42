package latchkey.documents

import latchkey.Session

suspend fun signOutEverywhere(session: Session) {
    // example
    // The session of the app: see its guide.
    session.signOutEverywhere()
    // end
}
