package latchkey.documents

import latchkey.Change
import latchkey.Operation
import latchkey.PatchMeRequest
import latchkey.Session

suspend fun patchMe(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(
        Operation.patchMe,
        PatchMeRequest(username = Change("sita.sharma"))
    )
    println(answer.username)
    // end
}
