// A sign-in from the number to the session, without an interface: a state, and the steps that change it.

package latchkey

import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.sync.Mutex
import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException

/** Times are milliseconds since the epoch by this device's clock. */
public class SignInState internal constructor(
    public val step: Step,
    /** A request is on its way. The steps do nothing until it is answered. */
    public val isBusy: Boolean = false,
    /** Why the last step did not succeed. */
    public val problem: Problem? = null,
    /** Until then, the step that was refused would be refused again. `null` if there is nothing to wait for. */
    public val waitUntil: Long? = null,
) {
    public sealed interface Step

    public data object Number : Step

    /** From here on, a code was sent. */
    public sealed interface AfterSend : Step {
        public val sent: Sent
    }

    public class Code internal constructor(
        override val sent: Sent,
        /** No more code is accepted until another one is sent. */
        public val needsNewCode: Boolean,
    ) : AfterSend

    /** The code was right, but nobody has proven the number for long. */
    public class SecondSignal internal constructor(
        override val sent: Sent,
        /** A signed-in device was asked. Once the person has approved there, call [SignIn.approved]. */
        public val approvalAsked: Boolean,
    ) : AfterSend

    /** The code was right, but the number's account was deleted or has another number. */
    public class Released internal constructor(
        override val sent: Sent,
        /** `number_change` or `account_deletion`. */
        public val undoes: String,
        public val undoUntil: Long,
    ) : AfterSend

    /** The person has asked for the account of the number. */
    public class Recovery internal constructor(
        override val sent: Sent,
        /** From then on, a new code and [SignIn.recover] open the account. `null` if a device refused. */
        public val opensAt: Long?,
        public val closesAt: Long?,
        /** After a refusal, from when on the person can ask again. */
        public val possibleAt: Long?,
    ) : AfterSend

    public class Done internal constructor(
        public val signedIn: SignedIn,
    ) : Step
}

/** What is known of the code that was sent. */
@Serializable
public class Sent internal constructor(
    /** As the person typed it. */
    public val phoneNumber: String,
    public val expiresAt: Long,
    /** From then on another message can be sent. It has the same code as long as that is valid. */
    public val resendAt: Long,
    public val attemptsLeft: Int,
    internal val challengeId: String,
) {
    internal fun with(attemptsLeft: Int) = Sent(phoneNumber, expiresAt, resendAt, attemptsLeft, challengeId)
}

public class SignIn(
    private val session: Session,
    private val organizationId: String? = null,
    /** The language of the message. By default that of the session. */
    private val locale: () -> String? = { null },
    /** What the list of devices calls this one. */
    private val deviceName: String? = null,
    /** Where a new user came from, in the app's own words. */
    private val source: String? = null,
    /** This device's FCM token. */
    private val fcmToken: () -> String? = { null },
    /** What [saved] returned before Android ended the process. */
    saved: String? = null,
) {
    private val current = MutableStateFlow(SignInState(restored(saved)))
    private val step = Mutex()
    private var otp = ""

    /** The last submit that may not have been answered, and its key. */
    private var unanswered: Pair<String, String>? = null

    public val state: StateFlow<SignInState> = current.asStateFlow()

    /**
     * Keep it with the state of the screen: while the person reads the message in another app, Android may end this one. It
     * has the number, and no code. `null` if there is nothing to go on with.
     */
    public fun saved(): String? = (current.value.step as? SignInState.AfterSend)?.let { json.encodeToString(it.sent) }

    /** Sends a code to a number in any form. A national one is read in the organization's default region. */
    public suspend fun send(phoneNumber: String): Unit =
        step {
            val request = SendRequest(phoneNumber, organizationId, source, locale())
            val answer =
                try {
                    session.api.call(Operation.sendOtp, request)
                } catch (problem: Problem) {
                    // Nobody could sign in with a key that never signs.
                    if (problem.code != ProblemCode.KeyFailed || !session.replaceKey()) throw problem
                    session.api.call(Operation.sendOtp, request)
                }
            val after = { seconds: Long -> session.api.clock() + (plausible(seconds) ?: 0) * 1000 }
            val sent =
                Sent(
                    phoneNumber,
                    expiresAt = after(answer.expiresIn),
                    resendAt = after(answer.resendIn),
                    maxOf(0, answer.attemptsLeft),
                    answer.challengeId,
                )
            current.value = SignInState(SignInState.Code(sent, needsNewCode = sent.attemptsLeft == 0))
        }

    /** Sends another message to the same number. */
    public suspend fun resend() {
        (current.value.step as? SignInState.AfterSend)?.let { send(it.sent.phoneNumber) }
    }

    /** Submits the code of the message. Digits of any script will do. Other devices can be signed out with it. */
    public suspend fun submit(
        otp: String,
        signOutOthers: Boolean = false,
    ): Unit = submit(way = null, signOutOthers, otp)

    /** After an approval on another device. */
    public suspend fun approved(): Unit = submit(way = null, signOutOthers = false)

    /** Takes the change of the number, or the deletion of the account, back. */
    public suspend fun restore(signOutOthers: Boolean = false): Unit = submit(Way.Restore, signOutOthers)

    /** Creates a new account for the number. */
    public suspend fun freshAccount(): Unit = submit(Way.FreshAccount, signOutOthers = false)

    /** Asks for the older account of the number, or opens it once the wait is over. */
    public suspend fun recover(): Unit = submit(Way.Recover, signOutOthers = false)

    /** Starts again, with another number. Does nothing while a request is on its way. */
    public fun restart() {
        if (!step.tryLock()) return
        current.value = SignInState(SignInState.Number)
        step.unlock()
    }

    private suspend fun submit(
        way: Way?,
        signOutOthers: Boolean,
        typed: String? = null,
    ) = step {
        typed?.let { otp = it }
        val sent = (current.value.step as? SignInState.AfterSend)?.sent ?: return@step
        val options =
            SubmitOptions(
                way,
                signOutOthers,
                source = source,
                organizationId = organizationId,
                fcmToken = fcmToken(),
                deviceName = deviceName,
            )
        val request = SubmitRequest.ofCode(sent.phoneNumber, otp, sent.challengeId, options)
        // The server knows by the key that this is the same submit, whose answer was lost, and not another one.
        val text = json.encodeToString(request)
        val (_, key) = unanswered?.takeIf { it.first == text } ?: Pair(text, randomText(KEY_BYTES))
        unanswered = Pair(text, key)
        val signedIn =
            try {
                session.api.call(Operation.submitOtp, request, idempotencyKey = key)
            } catch (problem: Problem) {
                if (problem.body.code == null || problem.code == ProblemCode.ServiceUnavailable) throw problem
                unanswered = null
                current.value = refused(sent, problem)
                return@step
            }
        unanswered = null
        session.signIn(signedIn)
        current.value = SignInState(SignInState.Done(signedIn))
    }

    private fun refused(
        before: Sent,
        problem: Problem,
    ): SignInState {
        val body = problem.body
        val ahead = session.api.aheadMilliseconds
        val here = { seconds: Long? -> plausible(seconds)?.let { it * 1000 - ahead } }
        // Each submit of a code has used one attempt, whatever became of it.
        val sent = before.with(attemptsLeft = problem.attemptsLeft ?: maxOf(0, before.attemptsLeft - 1))
        return when (problem.code) {
            ProblemCode.SecondSignalRequired -> {
                // The person said that they have approved, and nobody has.
                val said = problem.takeIf { current.value.step is SignInState.SecondSignal }
                SignInState(SignInState.SecondSignal(sent, body.approvalAsked == true), problem = said)
            }

            ProblemCode.NumberReleased -> {
                val undoes = body.undoes ?: "number_change"
                SignInState(SignInState.Released(sent, undoes, here(body.undoUntil) ?: 0))
            }

            ProblemCode.RecoveryPending, ProblemCode.RecoveryRefused -> {
                val times = listOf(body.opensAt, body.closesAt, body.possibleAt).map(here)
                SignInState(SignInState.Recovery(sent, times[0], times[1], times[2]))
            }

            ProblemCode.IncorrectOtp, ProblemCode.OtpExpired, ProblemCode.TooManyAttempts -> {
                val needsNewCode = problem.code != ProblemCode.IncorrectOtp || sent.attemptsLeft == 0
                SignInState(SignInState.Code(sent, needsNewCode), problem = problem)
            }

            else -> {
                throw problem
            }
        }
    }

    /** One request at a time: a second tap must not use a second attempt. */
    private suspend fun step(work: suspend () -> Unit) {
        if (!step.tryLock()) return
        val before = current.value.step
        try {
            current.value = SignInState(before, isBusy = true)
            work()
        } catch (problem: Problem) {
            val waitUntil = problem.retryAfter?.let { session.api.clock() + it * 1000 }
            current.value = SignInState(before, problem = problem, waitUntil = waitUntil)
        } finally {
            // The person may have left the screen, and come back.
            if (current.value.isBusy) current.value = SignInState(before)
            step.unlock()
        }
    }

    private companion object {
        const val KEY_BYTES = 16

        fun restored(saved: String?): SignInState.Step =
            try {
                saved?.let { json.decodeFromString<Sent>(it) }
            } catch (_: SerializationException) {
                null // Another version of the app saved it.
            }?.let { SignInState.Code(it, needsNewCode = it.attemptsLeft == 0) } ?: SignInState.Number
    }
}
