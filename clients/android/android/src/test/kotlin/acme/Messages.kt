package acme

import google.FirebaseMessagingService
import google.RemoteMessage
import kotlinx.coroutines.launch
import latchkey.FcmTokenRequest
import latchkey.Operation
import latchkey.Problem
import latchkey.Push
import latchkey.Session

class Messages : FirebaseMessagingService() {
    private val app get() = application as Acme

    override fun onNewToken(token: String) =
        withSession { if (it.isSignedIn) it.call(Operation.putFcmToken, FcmTokenRequest(token)) }

    override fun onMessageReceived(message: RemoteMessage) {
        when (val push = Push.of(message.data)) {
            is Push.SignInApproval -> {
                // On yes, it calls approveSignIn with the challenge_id.
                notify(push.challengeId, "Are you signing in on another device?", ApproveActivity::class.java)
            }

            is Push.AccountNotice -> {
                withSession {
                    // A notice that comes twice has the same id, and is shown once.
                    val isForMe = it.claims.value?.sub == push.userId
                    if (isForMe) notify(push.noticeId, "${push.event}", SignInActivity::class.java)
                    if (push.event == Push.Event.SignedOut) it.refresh()
                }
            }

            null -> {} // Not of Latchkey, or of a kind that this version does not know.
        }
    }

    private fun withSession(work: suspend (Session) -> Unit) {
        app.scope.launch {
            try {
                work(app.session.await())
            } catch (_: Problem) {
                // The next start of the app registers the token again.
            }
        }
    }
}
