// A typed call for each operation, with its timeout, its repetitions and its proof.

package latchkey

import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.serialization.builtins.serializer
import java.io.IOException
import java.net.URI
import java.net.URLEncoder
import java.security.GeneralSecurityException
import java.text.ParseException
import java.text.SimpleDateFormat
import java.util.Locale
import java.util.TimeZone
import kotlin.random.Random
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** How to send an access token. */
public class AccessToken(
    /** `token_type` of the response that had the token. */
    public val type: String,
    public val text: String,
)

/** Calls the operations of Latchkey. An app that has a [Session] calls them there. */
public class Api(
    base: String,
    private val http: Http = UrlConnectionHttp(),
    /** How long one attempt may take. */
    private val timeout: Duration = 15.seconds,
    /** The language of what a problem tells people, and of messages. */
    private val language: () -> String = { Locale.getDefault().toLanguageTag() },
    /** This device's clock, in milliseconds. */
    internal val clock: () -> Long = System::currentTimeMillis,
    /** The device's key. Each request then has a proof. */
    private val key: suspend () -> DeviceKey? = { null },
) {
    /** Without a final slash. */
    public val base: String = base.trimEnd('/')

    init {
        originOf(base)
    }

    /** How far the server's clock is ahead of this device's, which may be wrong. */
    @Volatile
    internal var aheadMilliseconds = 0L
        private set

    /** @throws Problem for each answer that is no success, and if there is none. */
    @Throws(Problem::class)
    public suspend fun <Answer> call(
        operation: Operation<Unit, Answer>,
        token: AccessToken? = null,
    ): Answer = call(operation, Unit, token)

    /**
     * @param idempotencyKey for a submit: another value for each sign-in, the same one for its repetition.
     * @throws Problem for each answer that is no success, and if there is none.
     */
    @Throws(Problem::class)
    public suspend fun <Body, Answer> call(
        operation: Operation<Body, Answer>,
        body: Body,
        token: AccessToken? = null,
        idempotencyKey: String? = null,
    ): Answer {
        var attempt = 0
        while (true) {
            try {
                return attempt(operation, body, token, idempotencyKey)
            } catch (problem: Problem) {
                val wait = if (attempt < REPETITIONS) waitAfter(problem, operation, attempt) else null
                delay(wait ?: throw problem)
                attempt += 1
            }
        }
    }

    /** A proof of one request, if there is a key. Another server's clock may be ahead otherwise. */
    internal suspend fun proof(
        method: String,
        url: String,
        accessToken: String?,
        ahead: Long = aheadMilliseconds,
    ): String? =
        try {
            key()?.let { prove(it, method, url, (clock() + ahead) / 1000, accessToken) }
        } catch (failure: GeneralSecurityException) {
            throw Problem(ProblemCode.KeyFailed, cause = failure)
        }

    /** How many milliseconds the clock of whoever answered is ahead of this device's; `null` if they did not say. */
    internal fun aheadOf(response: HttpResponse): Long? {
        val format = SimpleDateFormat("EEE, dd MMM yyyy HH:mm:ss zzz", Locale.US)
        format.timeZone = TimeZone.getTimeZone("GMT")
        return try {
            response.header("date")?.let(format::parse)?.let { it.time - clock() }
        } catch (_: ParseException) {
            null
        }
    }

    private suspend fun <Body, Answer> attempt(
        operation: Operation<Body, Answer>,
        body: Body,
        token: AccessToken?,
        idempotencyKey: String?,
    ): Answer {
        val inPath = if ('{' in operation.path) URLEncoder.encode(body.toString(), "UTF-8") else null
        val url = base + operation.path.replace("{session_id}", inPath.orEmpty())
        val hasBody = inPath == null && body != null && body != Unit
        val content = if (hasBody) json.encodeToString(operation.body, body) else null
        val headers =
            buildMap {
                put("accept-language", language())
                content?.let { put("content-type", "application/json") }
                token?.let { put("authorization", "${it.type} ${it.text}") }
                idempotencyKey?.let { put("idempotency-key", it) }
                proof(operation.method, url, token?.text)?.let { put("dpop", it) }
            }
        val request = HttpRequest(operation.method, url, headers, content?.encodeToByteArray())
        val response =
            try {
                withTimeoutOrNull(timeout) { http.exchange(request) }
            } catch (failure: IOException) {
                throw Problem(ProblemCode.NoAnswer, cause = failure)
            }
        return read(operation, response ?: throw Problem(ProblemCode.TimedOut))
    }

    private fun <Answer> read(
        operation: Operation<*, Answer>,
        response: HttpResponse,
    ): Answer {
        // Somebody else's answer may come from a cache, and be old.
        if (response.header("x-request-id") != null) aheadOf(response)?.let { aheadMilliseconds = it }
        if (response.status !in 200..299) throw Problem.of(response)
        val hasBody = operation.answer.descriptor != Unit.serializer().descriptor
        // A captive portal answers 200 with a page of its own.
        if (hasBody == (response.status == 204)) throw Problem(ProblemCode.GatewayFailed, response.status)
        try {
            return json.decodeFromString(operation.answer, if (hasBody) response.text else "{}")
        } catch (failure: IllegalArgumentException) {
            // Its subclass SerializationException, or an array where an object should be.
            throw Problem(ProblemCode.GatewayFailed, response.status, cause = failure)
        }
    }

    /** How long to wait until the request is repeated; `null` if it is not. */
    private suspend fun waitAfter(
        problem: Problem,
        operation: Operation<*, *>,
        attempt: Int,
    ): Duration? {
        val soon = ((attempt + Random.nextDouble()) * SOON_MILLISECONDS).milliseconds
        return when (problem.code) {
            // The answer told the server's time. The next proof has it.
            ProblemCode.InvalidDpopProof -> Duration.ZERO.takeIf { attempt == 0 && key() != null }

            ProblemCode.ServiceUnavailable -> (problem.retryAfter ?: 1).seconds.takeIf { it <= longestWait }

            ProblemCode.GatewayThrottled, ProblemCode.GatewayFailed, ProblemCode.KeyFailed -> soon

            ProblemCode.NoAnswer, ProblemCode.TimedOut -> soon.takeIf { operation.isRepeatable }

            else -> null
        }
    }

    private companion object {
        const val REPETITIONS = 2
        const val SOON_MILLISECONDS = 500

        /** A longer wait is for a person to decide. */
        val longestWait = 10.seconds
    }
}

/**
 * The scheme, host and port of a URL.
 *
 * @throws IllegalArgumentException if it has none.
 */
internal fun originOf(url: String): String {
    val parsed = URI.create(url)
    val scheme = parsed.scheme?.lowercase()
    require((scheme == "http" || scheme == "https") && parsed.host != null) { "not a URL of HTTP or HTTPS: $url" }
    val port = parsed.port.takeIf { it >= 0 } ?: mapOf("http" to 80, "https" to 443)[scheme]
    return "$scheme://${parsed.host.lowercase()}:$port"
}
