// One HTTP exchange, behind an interface: an app can use a client of its own, and tests can lose answers.

package latchkey

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.suspendCancellableCoroutine
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL
import java.util.concurrent.Executor

public class HttpRequest(
    public val method: String,
    public val url: String,
    public val headers: Map<String, String> = emptyMap(),
    public val body: ByteArray? = null,
) {
    internal fun with(more: Map<String, String>): HttpRequest {
        val others = headers.filterKeys { name -> more.keys.none { it.equals(name, ignoreCase = true) } }
        return HttpRequest(method, url, others + more, body)
    }
}

public class HttpResponse(
    public val status: Int,
    headers: Map<String, String>,
    public val body: ByteArray,
) {
    private val headers = headers.mapKeys { (name, _) -> name.lowercase() }

    public val text: String get() = body.decodeToString()

    /** The value of a header, whose name may be in any case. */
    public fun header(name: String): String? = headers[name.lowercase()]
}

public fun interface Http {
    /**
     * Sends the request once. It repeats nothing and follows no redirect, because a proof is for one request and one URL.
     * It ends early if the coroutine is cancelled.
     *
     * @throws IOException if there was no answer.
     */
    @Throws(IOException::class)
    public suspend fun exchange(request: HttpRequest): HttpResponse
}

/**
 * Sends requests by Android's own client. An answer of more than 8 MiB is none: use a client of your own for downloads. It is
 * not for the JVM, whose `HttpURLConnection` knows no `PATCH` and loses the body of a 401: implement [Http] with
 * `java.net.http.HttpClient` there.
 */
public class UrlConnectionHttp internal constructor(
    private val prepare: (HttpURLConnection, HttpRequest) -> Unit,
) : Http {
    public constructor() : this({ connection, request ->
        connection.requestMethod = request.method
        // Android sends a body of a fixed length once. Others it sends again by itself when a connection breaks.
        request.body?.let { connection.setFixedLengthStreamingMode(it.size) }
    })

    override suspend fun exchange(request: HttpRequest): HttpResponse {
        val connection = URL(request.url).openConnection() as HttpURLConnection
        return suspendCancellableCoroutine { waiting ->
            // Whoever cancels may be on Android's main thread, which must not touch the network.
            waiting.invokeOnCancellation { io.execute(connection::disconnect) }
            io.execute { waiting.resumeWith(runCatching { connection.exchange(request) }) }
        }
    }

    private fun HttpURLConnection.exchange(request: HttpRequest): HttpResponse {
        prepare(this, request)
        connectTimeout = CONNECT_MILLISECONDS
        readTimeout = READ_MILLISECONDS
        instanceFollowRedirects = false
        useCaches = false
        for ((name, value) in request.headers) setRequestProperty(name, value)
        request.body?.let {
            doOutput = true
            outputStream.use { out -> out.write(it) }
        }
        val status = responseCode
        val content = if (status < HttpURLConnection.HTTP_BAD_REQUEST) inputStream else errorStream
        val body = content?.use(::wholeOf) ?: ByteArray(0)
        val headers = headerFields.filterKeys { it != null }.mapValues { (_, values) -> values.joinToString() }
        return HttpResponse(status, headers, body)
    }

    private fun wholeOf(content: InputStream): ByteArray {
        val whole = ByteArrayOutputStream()
        val part = ByteArray(DEFAULT_BUFFER_SIZE)
        while (true) {
            val length = content.read(part)
            if (length < 0) return whole.toByteArray()
            whole.write(part, 0, length)
            if (whole.size() > LONGEST_BYTES) throw IOException("the answer has more than $LONGEST_BYTES bytes")
        }
    }

    private companion object {
        /** An answer must not take all of an app's memory. Those of Latchkey are far below. */
        const val LONGEST_BYTES = 8 * 1024 * 1024

        // The caller's own timeout is shorter. These free the thread.
        const val CONNECT_MILLISECONDS = 30_000
        const val READ_MILLISECONDS = 60_000
        val io: Executor = Dispatchers.IO.asExecutor()
    }
}
