// The session of a signed-in person: it keeps the tokens, refreshes them once for all, and ends when the server says so.

package latchkey

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException
import kotlinx.serialization.Transient
import java.io.IOException
import java.util.Locale
import java.util.concurrent.ConcurrentHashMap
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

public sealed interface SessionEvent {
    public data object SignedIn : SessionEvent

    public data object Refreshed : SessionEvent

    /** [reason] is `signed_out` if the person signed out. Otherwise it is the code with which the server ended the session. */
    public data class SignedOut(
        val reason: ProblemCode,
    ) : SessionEvent
}

/** What the access token says of the person. The server signed it; the client does not check that. */
@Serializable
public class Claims(
    /** The user id. */
    public val sub: String,
    /** The session id. */
    public val sid: String,
    public val org: String,
    public val roles: Map<String, List<String>>,
    /** Whether the token was issued for a code. */
    public val fresh: Boolean,
)

@Serializable
internal class Kept(
    val tokenType: String,
    val accessToken: String,
    val refreshToken: String,
    /** By this device's clock, in milliseconds. */
    val refreshAt: Long,
) {
    val token get() = AccessToken(tokenType, accessToken)

    // Both are read with the tokens, so that tokens that cannot be read are never kept.
    @Transient val claims: Claims = claimsOf(accessToken)

    @Transient val isBound = claimsOf<Binding>(refreshToken).cnf != null
}

/** The claim that binds a refresh token to a key. */
@Serializable
private class Binding(
    val cnf: Confirmation? = null,
) {
    @Serializable
    class Confirmation(
        val jkt: String,
    )
}

/** What tells why a request was refused. Other members are not read, however deep they are. */
@Serializable
private class Refusal(
    val code: String? = null,
    val message: String? = null,
    @SerialName("Message") val messageOfAuthorizer: String? = null,
)

/** The headers with which one request is sent as the person who is signed in. */
public class Authorization internal constructor(
    public val headers: Map<String, String>,
    internal val kept: Kept,
    internal val origin: String,
)

/** An app has one session, for as long as its process lives: two that share a store would refresh without each other. */
public class Session private constructor(
    public val api: Api,
    private val http: Http,
    private val store: Store,
    origins: List<String>,
    private val keys: OnceFound,
) {
    private val mayKnow = (origins + api.base).map(::originOf).toSet()

    /** How far the clocks of other servers are ahead of this device's. The time of one is no time for another. */
    private val aheadOfOthers = ConcurrentHashMap<String, Long>()

    /** A refresh goes on when the one who asked for it is cancelled: its answer must not be lost. */
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** Whoever has it may change what is kept. */
    private val change = Mutex()

    @Volatile
    private var kept: Kept? = null

    @Volatile
    private var isLoaded = false
    private var refreshing: Deferred<Unit>? = null

    private val currentClaims = MutableStateFlow<Claims?>(null)
    private val latestEvents =
        MutableSharedFlow<SessionEvent>(extraBufferCapacity = 64, onBufferOverflow = BufferOverflow.DROP_OLDEST)

    /** Who is signed in; `null` if nobody is. */
    public val claims: StateFlow<Claims?> = currentClaims.asStateFlow()

    /** What happens from now on. */
    public val events: SharedFlow<SessionEvent> = latestEvents.asSharedFlow()

    public val isSignedIn: Boolean get() = kept != null

    /** Calls an operation of Latchkey as the person who is signed in. */
    @Throws(Problem::class)
    public suspend fun <Answer> call(operation: Operation<Unit, Answer>): Answer = call(operation, Unit)

    /**
     * Calls an operation of Latchkey as the person who is signed in.
     *
     * @throws Problem for each answer that is no success, and if there is none; and if nobody is signed in.
     */
    @Throws(Problem::class)
    public suspend fun <Body, Answer> call(
        operation: Operation<Body, Answer>,
        body: Body,
    ): Answer {
        val used = valid()
        return try {
            api.call(operation, body, used.token)
        } catch (problem: Problem) {
            if (problem.code !in stale) throw problem
            api.call(operation, body, renewed(used).token)
        }
    }

    /**
     * Sends a request with the access token. Refreshes the token if it is about to expire, and once if the server does not
     * accept it.
     *
     * @throws IllegalArgumentException for a URL of an origin that must not get the token. Nothing was sent.
     * @throws IOException if there was no answer.
     * @throws Problem if nobody is signed in, or the refresh failed.
     */
    @Throws(IOException::class, Problem::class)
    public suspend fun fetch(request: HttpRequest): HttpResponse {
        val first = authorize(request.method, request.url)
        val response = http.exchange(request.with(first.headers))
        if (!refreshIfRefused(first, response)) return response
        return http.exchange(request.with(authorize(request.method, request.url).headers))
    }

    /**
     * What [fetch] adds to a request, for an HTTP client of the app's own. Show [refreshIfRefused] the response.
     *
     * @throws IllegalArgumentException for a URL of an origin that must not get the token.
     * @throws Problem if nobody is signed in, or the refresh failed.
     */
    @Throws(Problem::class)
    public suspend fun authorize(
        method: String,
        url: String,
    ): Authorization {
        val origin = originOf(url)
        require(origin in mayKnow) { "the session's origins do not name $origin" }
        val valid = valid()
        val ahead = aheadOfOthers[origin] ?: api.aheadMilliseconds
        val headers =
            buildMap {
                put("Authorization", "${valid.tokenType} ${valid.accessToken}")
                if (valid.tokenType == "DPoP") api.proof(method, url, valid.accessToken, ahead)?.let { put("DPoP", it) }
            }
        return Authorization(headers, valid, origin)
    }

    /** Whether to send the request again, with a new authorization: the response refused the one that it had. */
    @Throws(Problem::class)
    public suspend fun refreshIfRefused(
        authorization: Authorization,
        response: HttpResponse,
    ): Boolean {
        if (!isStale(response)) return false
        // If the proof was refused and not the token, the next one has that server's time. Latchkey's comes with the refresh.
        if (authorization.origin != originOf(api.base)) {
            api.aheadOf(response)?.let { aheadOfOthers[authorization.origin] = it }
        }
        renewed(authorization.kept)
        return true
    }

    /**
     * Exchanges the tokens for new ones. Calls at the same time share one request.
     *
     * @throws Problem if nobody is signed in, if the session has ended, or if the server could not be asked. In the last
     * case the person is still signed in.
     */
    @Throws(Problem::class)
    public suspend fun refresh() {
        renewed(loaded() ?: throw Problem(ProblemCode.SignedOut))
    }

    /**
     * Takes the tokens of a sign-in over. If somebody was signed in here, their earlier session ends: otherwise it would stay
     * in the list of devices.
     */
    public suspend fun signIn(signedIn: SignedIn): Unit =
        withContext(NonCancellable) {
            val earlier = loaded()
            change.withLock { keep(signedIn.tokens) }
            latestEvents.tryEmit(SessionEvent.SignedIn)
            try {
                earlier?.let { end(it) }
            } catch (_: Problem) {
                // The person is signed in, whatever becomes of it.
            }
        }

    /** Ends a session of which nobody here knows any more. It may have been another person's. */
    private suspend fun end(earlier: Kept) {
        var token = earlier.token
        if (earlier.refreshAt < api.clock()) {
            val new = api.call(Operation.refreshSession, RefreshRequest(earlier.refreshToken))
            token = AccessToken(new.tokenType, new.accessToken)
        }
        api.call(Operation.signOut, token)
    }

    /**
     * Signs out this device. It keeps its key, so that it stays known. The tokens are gone in any case.
     *
     * @throws Problem if the server could not be told. Then the session stays in the list of devices until it expires.
     */
    @Throws(Problem::class, IOException::class)
    public suspend fun signOut() {
        val sid = loaded()?.claims?.sid ?: return
        try {
            call(Operation.signOut)
        } catch (problem: Problem) {
            // If the server ended the session first, or somebody else signed in, this is what the person wants.
            if (kept?.claims?.sid == sid) throw problem
        } finally {
            withContext(NonCancellable) { signedOut(sid) }
        }
    }

    /**
     * Signs out all devices.
     *
     * @throws Problem if the server could not be told. Then everybody is still signed in.
     */
    @Throws(Problem::class, IOException::class)
    public suspend fun signOutEverywhere() {
        val sid = loaded()?.claims?.sid
        call(Operation.signOutEverywhere)
        withContext(NonCancellable) { signedOut(sid) }
    }

    /** For a sign-in whose key does not sign: whether it has another one now. While somebody is signed in, their key stays. */
    internal suspend fun replaceKey(): Boolean = loaded() == null && isLoaded && keys.replace()

    /**
     * What is kept. The Keystore may fail for a moment, also while the app starts. That does not mean that nobody is signed
     * in, so it is asked again.
     */
    private suspend fun loaded(): Kept? {
        if (isLoaded) return kept
        change.withLock {
            if (isLoaded) return@withLock
            try {
                kept = kept(store, keys)
                currentClaims.value = kept?.claims
                isLoaded = true
            } catch (_: IOException) {
                // The next call asks again.
            }
        }
        return kept
    }

    private suspend fun valid(): Kept {
        val kept = loaded() ?: throw Problem(ProblemCode.SignedOut)
        return if (kept.refreshAt < api.clock()) renewed(kept) else kept
    }

    /** What is kept after a refresh. A request of one person is never sent as another one. */
    private suspend fun renewed(old: Kept): Kept {
        refresh(old)
        return kept?.takeIf { it.claims.sub == old.claims.sub } ?: throw Problem(ProblemCode.SignedOut)
    }

    /** Unless there is another session by now. */
    private suspend fun signedOut(sid: String?) =
        change.withLock { if (kept?.claims?.sid == sid) forget(ProblemCode.SignedOut) }

    /** One refresh for all who wait. Its failure is theirs too: each would only fail again, one after the other. */
    private suspend fun refresh(old: Kept) {
        val shared =
            synchronized(scope) {
                val running = refreshing?.takeIf { it.isActive }
                if (kept !== old && running == null) return
                running ?: scope.async { rotate(old) }.also { refreshing = it }
            }
        shared.await()
    }

    private suspend fun rotate(old: Kept) =
        change.withLock {
            // A sign-in or a sign-out may have been first.
            if (kept !== old) return@withLock
            try {
                keep(api.call(Operation.refreshSession, RefreshRequest(old.refreshToken)))
            } catch (problem: Problem) {
                try {
                    if (problem.code in ends) forget(problem.code)
                } catch (failure: IOException) {
                    // The next start of the app finds the tokens, and learns the same of them.
                    problem.addSuppressed(failure)
                }
                throw problem
            }
            latestEvents.tryEmit(SessionEvent.Refreshed)
        }

    private suspend fun keep(tokens: Tokens) {
        // A short-lived token must not be refreshed at each request.
        val lifetime = tokens.expiresIn.seconds
        val refreshAt = api.clock() + (lifetime - minOf(early, lifetime / 2)).inWholeMilliseconds
        val new = Kept(tokens.tokenType, tokens.accessToken, tokens.refreshToken, refreshAt)
        kept = new
        isLoaded = true
        currentClaims.value = new.claims
        try {
            store.put(TOKENS, json.encodeToString(new))
        } catch (_: IOException) {
            // The session goes on in memory. The tokens that are still kept work once more if it is bound.
        }
    }

    private suspend fun forget(reason: ProblemCode) {
        if (kept == null) return
        kept = null
        currentClaims.value = null
        latestEvents.tryEmit(SessionEvent.SignedOut(reason))
        store.remove(TOKENS)
    }

    public companion object {
        private const val TOKENS = "tokens"

        /** A token is refreshed this long before it expires, so that it does not expire on its way. */
        private val early = 30.seconds

        /** These answers to a refresh end the session. All others say nothing about it. */
        private val ends =
            setOf(
                ProblemCode.TokenInvalid,
                ProblemCode.TokenExpired,
                ProblemCode.SessionRevoked,
                ProblemCode.RefreshReused,
                ProblemCode.NoSuchUser,
                ProblemCode.NotAMember,
                ProblemCode.AccountBlocked,
            )

        /** After these answers to another request, a refresh tells whether the session has ended. */
        private val stale =
            setOf(
                ProblemCode.TokenExpired,
                ProblemCode.TokenInvalid,
                ProblemCode.SessionRevoked,
                ProblemCode.NoSuchUser,
            )

        /**
         * Opens the session that this device keeps, or one in which nobody is signed in yet.
         *
         * @param api the base URL of Latchkey.
         * @param origins other origins whose requests get the access token, such as `https://api.example.com`.
         * @param timeout how long one attempt of a call may take.
         * @param language the language of what a problem tells people.
         * @param clock this device's clock, in milliseconds.
         */
        public suspend fun open(
            api: String,
            store: Store,
            keys: DeviceKeys,
            origins: List<String> = emptyList(),
            http: Http = UrlConnectionHttp(),
            timeout: Duration = 15.seconds,
            language: () -> String = { Locale.getDefault().toLanguageTag() },
            clock: () -> Long = System::currentTimeMillis,
        ): Session {
            val once = OnceFound(keys)
            val session = Session(Api(api, http, timeout, language, clock, once::key), http, store, origins, once)
            session.loaded()
            return session
        }

        private suspend fun kept(
            store: Store,
            keys: OnceFound,
        ): Kept? {
            val text = store.get(TOKENS) ?: return null
            return try {
                // Bound tokens without their key are of no use.
                json.decodeFromString<Kept>(text).takeIf { !it.isBound || keys.exists() }
            } catch (_: SerializationException) {
                null // An older version of the app kept something else.
            } catch (_: Problem) {
                null // The same, with other tokens.
            }
        }

        /**
         * Whether a refusal may be due to the token. Latchkey names the reason. Its authorizer in front of other routes
         * cannot: API Gateway then answers 403 with a `message` of its own.
         */
        private fun isStale(response: HttpResponse): Boolean {
            if (response.status != 401 && response.status != 403) return false
            val refusal =
                try {
                    json.decodeFromString<Refusal>(response.text)
                } catch (_: SerializationException) {
                    Refusal()
                }
            val code = refusal.code?.let(::ProblemCode)
            return when {
                code != null -> code == ProblemCode.InvalidDpopProof || code in stale
                response.status == 401 -> "invalid_token" in response.header("www-authenticate").orEmpty()
                else -> refusal.message == "Forbidden" || refusal.messageOfAuthorizer != null
            }
        }
    }
}

/** The device's key, looked up once. A device that could not make one is asked again at its next request. */
private class OnceFound(
    private val keys: DeviceKeys,
) {
    private val looking = Mutex()

    @Volatile
    private var found: DeviceKey? = null

    /** @throws IOException if it cannot be told now. */
    suspend fun exists(): Boolean = found != null || keys.find() != null

    suspend fun key(): DeviceKey? = found ?: looking.withLock { found ?: keys.findOrMake().also { found = it } }

    suspend fun replace(): Boolean = looking.withLock { keys.replace()?.also { found = it } != null }
}
