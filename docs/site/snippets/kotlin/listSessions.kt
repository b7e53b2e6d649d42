package latchkey.documents

import latchkey.Operation
import latchkey.Session

suspend fun listSessions(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(Operation.listSessions)
    println(answer.sessions.size)
    // end
}
