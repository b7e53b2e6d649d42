package acme

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import latchkey.Change
import latchkey.HttpRequest
import latchkey.HttpResponse
import latchkey.Operation
import latchkey.PatchMeRequest
import latchkey.Problem
import latchkey.ProblemCode
import latchkey.Session
import latchkey.SessionEvent
import okhttp3.Interceptor
import okhttp3.Request
import okhttp3.Response
import java.io.IOException

suspend fun calls(session: Session) {
    val devices = session.call(Operation.listSessions).sessions
    val me = session.call(Operation.patchMe, PatchMeRequest(name = Change("Sita Sharma")))
    // Your own API, with the access token.
    val orders = session.fetch(HttpRequest("GET", "https://api.example.com/orders"))
    println("${me.name}: ${devices.size} devices, ${orders.status}")
}

fun follow(
    session: Session,
    scope: CoroutineScope,
    showSignIn: (why: ProblemCode) -> Unit,
) = scope.launch {
    session.events.collect { if (it is SessionEvent.SignedOut) showSignIn(it.reason) }
}

suspend fun rename(
    session: Session,
    username: String,
): String? =
    try {
        session.call(Operation.patchMe, PatchMeRequest(username = Change(username)))
        null
    } catch (problem: Problem) {
        when (problem.code) {
            ProblemCode.FreshTokenRequired -> "Sign in again with a code first"
            ProblemCode.NoAnswer, ProblemCode.TimedOut -> "Are you online?"
            else -> problem.retryAfter?.let { "Try again in $it s" } ?: problem.message
        }
    }

class SessionInterceptor(
    private val session: Session,
) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response =
        runBlocking {
            try {
                val request = chain.request()
                val first = session.authorize(request.method, request.url.toString())
                val response = chain.proceed(request.with(first.headers))
                val read = HttpResponse(response.code, response.headers.toMap(), response.peekBody(4096).bytes())
                if (!session.refreshIfRefused(first, read)) return@runBlocking response
                response.close()
                chain.proceed(request.with(session.authorize(request.method, request.url.toString()).headers))
            } catch (problem: Problem) {
                throw IOException(problem) // OkHttp passes no other exception on.
            }
        }

    private fun Request.with(headers: Map<String, String>) =
        newBuilder().apply { headers.forEach { (name, value) -> header(name, value) } }.build()
}
