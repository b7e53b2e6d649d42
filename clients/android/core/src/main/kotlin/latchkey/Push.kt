// The data messages that Latchkey sends through FCM.

package latchkey

public sealed interface Push {
    /**
     * Somebody signs in to the account on another device, and needs an approval. Ask the person; on yes, call
     * [Operation.approveSignIn].
     */
    public class SignInApproval internal constructor(
        public val challengeId: String,
        /** Epoch seconds. */
        public val expiresAt: Long,
    ) : Push

    /** Something happened to the account. Show a text of the app's own. */
    public class AccountNotice internal constructor(
        public val event: Event,
        /** A message that comes twice has the same id. */
        public val noticeId: String,
        /** Not the one who is signed in, if somebody else was signed in on this device before. */
        public val userId: String,
        /** When it happened. Epoch seconds. */
        public val at: Long,
    ) : Push

    /** Latchkey's names of what can happen to an account. */
    public enum class Event {
        NewDevice,
        SignInApproved,
        PhoneChangeRequested,
        PhoneChangePending,
        PhoneChangeDue,
        PhoneChangeStopped,
        PhoneChanged,
        PhoneChangeUndone,
        RecoveryRequested,
        RecoveryDue,
        RecoveryStopped,
        AccountRecovered,
        UsernameChanged,

        /** Another device ended this one's session. [Session.refresh] confirms it. */
        SignedOut,
        AccountDeleted,
        ;

        internal val text = name.replace(Regex("(?<=.)[A-Z]")) { "_${it.value}" }.lowercase()
    }

    public companion object {
        /**
         * What the data of a message says. `null` if it is not Latchkey's, or of a later version's kind: then there is nothing
         * to show.
         */
        public fun of(data: Map<String, String>): Push? =
            when (data["type"]) {
                "sign_in_approval" -> {
                    val expiresAt = data["expires_at"]?.toLongOrNull()
                    data["challenge_id"]?.let { id -> expiresAt?.let { SignInApproval(id, it) } }
                }

                "account_notice" -> {
                    notice(data)
                }

                else -> {
                    null
                }
            }

        private fun notice(data: Map<String, String>): AccountNotice? {
            val event = Event.entries.find { it.text == data["event"] } ?: return null
            val noticeId = data["notice_id"] ?: return null
            val userId = data["user_id"] ?: return null
            return data["at"]?.toLongOrNull()?.let { AccountNotice(event, noticeId, userId, it) }
        }
    }
}
