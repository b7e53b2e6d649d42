package latchkey

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import org.junit.jupiter.api.AfterAll
import java.io.IOException
import java.io.OutputStream
import java.net.ServerSocket
import java.security.GeneralSecurityException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime

private const val SEND = "POST /v1/otp/send"
private const val SUBMIT = "POST /v1/otp/submit"
private const val ME = "GET /v1/me"

class ApiTest {
    @Test
    fun `a problem has its code, its wait, its sentence and the id of the request`() =
        test {
            val api = Api(world.base, httpOfTheJvm(), language = { "ne" })
            val number = newNumber()
            val sent = api.call(Operation.sendOtp, SendRequest(number))
            val limited = problem(ProblemCode.TooManyRequests) { api.call(Operation.sendOtp, SendRequest(number)) }
            assertEquals(429, limited.status)
            assertTrue(limited.retryAfter in 1L..30L)
            assertNotNull(limited.requestId)
            assertTrue(limited.message!!.any { it in '\u0900'..'\u097f' }, "not in Nepali: ${limited.message}")
            val otp = if (world.code(number) == "000000") "111111" else "000000"
            val submit = SubmitRequest.ofCode(number, otp, sent.challengeId)
            val wrong = problem(ProblemCode.IncorrectOtp) { api.call(Operation.submitOtp, submit) }
            assertEquals(4, wrong.attemptsLeft)
        }

    @Test
    fun `a malformed request says where`() =
        test {
            val api = Api(world.base, httpOfTheJvm())
            val refused =
                problem(ProblemCode.MalformedRequest) {
                    api.call(Operation.refreshSession, RefreshRequest("x".repeat(5000)))
                }
            assertEquals(listOf("#/refresh_token"), refused.body.errors?.map { it.pointer })
        }

    @Test
    fun `API Gateway's own answers are problems too, whatever their body`() =
        test {
            val answers =
                listOf(
                    Triple(404, """{"message":"Not Found"}""", ProblemCode.GatewayRefused),
                    Triple(413, """{"message":"Request Entity Too Large"}""", ProblemCode.GatewayRefused),
                    Triple(403, "<html>a proxy</html>", ProblemCode.GatewayRefused),
                    Triple(403, "null", ProblemCode.GatewayRefused),
                    Triple(403, """{"code":4}""", ProblemCode.GatewayRefused),
                    Triple(302, "", ProblemCode.GatewayRefused),
                    Triple(504, "", ProblemCode.GatewayFailed),
                    Triple(200, "<html>a captive portal</html>", ProblemCode.GatewayFailed),
                    Triple(200, "{}", ProblemCode.GatewayFailed),
                    Triple(204, "", ProblemCode.GatewayFailed),
                )
            for ((status, body, code) in answers) {
                val wire = Wire()
                wire.answer(ME, status, body, times = 3)
                val refused = problem(code) { Api(world.base, wire).call(Operation.getMe) }
                assertEquals(status, refused.status)
                assertNull(refused.body.code)
                assertEquals(if (code == ProblemCode.GatewayFailed) 3 else 1, wire.count(ME))
            }
        }

    @Test
    fun `numbers of an answer that cannot be real are left out, and a long sentence is cut`() =
        test {
            val wire = Wire()
            val api = Api(world.base, wire)
            for (odd in listOf("-1", "${Long.MIN_VALUE}", "${Long.MAX_VALUE}", "10000000000000")) {
                val body = """{"code":"service_unavailable","detail":"${"d".repeat(9000)}","retry_after":$odd}"""
                wire.answer(SEND, 503, body, times = 3)
                val refused =
                    problem(ProblemCode.ServiceUnavailable) { api.call(Operation.sendOtp, SendRequest("1")) }
                assertNull(refused.retryAfter, odd)
                assertEquals(500, refused.message?.length)
            }
            wire.answer(SEND, 429, """{"code":"too_many_requests","attempts_left":-1}""")
            val refused = problem(ProblemCode.TooManyRequests) { api.call(Operation.sendOtp, SendRequest("1")) }
            assertNull(refused.attemptsLeft)
        }

    @Test
    fun `an answer without an end is no answer`() =
        test {
            ServerSocket(0).use { server ->
                thread {
                    server.accept().use {
                        it.getInputStream().read()
                        val out = it.getOutputStream()
                        try {
                            out.write("HTTP/1.1 401 Unauthorized\r\n\r\n".encodeToByteArray())
                            while (true) out.write(ByteArray(1 shl 16))
                        } catch (_: IOException) {
                            // The client has left.
                        }
                    }
                }
                val url = "http://127.0.0.1:${server.localPort}/orders"
                assertFailsWith<IOException> { httpOfTheJvm().exchange(HttpRequest("GET", url)) }
            }
        }

    @Test
    fun `a throttled request and a failed one are sent again`() =
        test {
            val wire = Wire()
            wire.answer(SEND, 429)
            wire.answer(SEND, 500, """{"message":"Internal Server Error"}""")
            Api(world.base, wire).call(Operation.sendOtp, SendRequest(newNumber()))
            assertEquals(listOf(429, 500, 200), wire.passed.map { it.status })
        }

    @Test
    fun `a request is sent at most three times`() =
        test {
            val wire = Wire()
            wire.answer(ME, 503, """{"message":"Service Unavailable"}""", times = 4)
            problem(ProblemCode.GatewayFailed) { Api(world.base, wire).call(Operation.getMe) }
            assertEquals(3, wire.count(ME))
        }

    @Test
    fun `service_unavailable is sent again after the wait that it names, and other refusals are not sent again`() =
        test {
            val wire = Wire()
            val api = Api(world.base, wire)
            wire.answer(SEND, 503, refusal(ProblemCode.ServiceUnavailable, retryAfter = 1))
            val number = newNumber()
            val time = measureTime { api.call(Operation.sendOtp, SendRequest(number)) }
            assertTrue(time >= 1.seconds)
            problem(ProblemCode.TooManyRequests) { api.call(Operation.sendOtp, SendRequest(number)) }
            assertEquals(3, wire.count(SEND))
        }

    @Test
    fun `a long wait is left to the caller`() =
        test {
            val wire = Wire()
            wire.answer(SEND, 503, refusal(ProblemCode.ServiceUnavailable, retryAfter = 60))
            val refused =
                problem(ProblemCode.ServiceUnavailable) {
                    Api(world.base, wire).call(Operation.sendOtp, SendRequest(newNumber()))
                }
            assertEquals(60, refused.retryAfter)
        }

    @Test
    fun `a send whose answer was lost is not sent again`() =
        test {
            val wire = Wire()
            wire.loseAnswer(SEND)
            problem(ProblemCode.NoAnswer) { Api(world.base, wire).call(Operation.sendOtp, SendRequest(newNumber())) }
            assertEquals(1, wire.count(SEND))
        }

    @Test
    fun `a submit whose answer was lost is sent again with its key and another proof`() =
        test {
            val wire = Wire()
            val key = newKey()
            val api = Api(world.base, wire) { key }
            val number = newNumber()
            val sent = api.call(Operation.sendOtp, SendRequest(number))
            wire.loseAnswer(SUBMIT)
            val submit = SubmitRequest.ofCode(number, world.code(number), sent.challengeId)
            assertTrue(api.call(Operation.submitOtp, submit, idempotencyKey = "one").isNewUser)
            val (first, second) = wire.passed.filter { it.route == SUBMIT }.map { it.request.headers }
            assertEquals("one", first["idempotency-key"])
            assertEquals("one", second["idempotency-key"])
            assertNotEquals(first["dpop"], second["dpop"])
        }

    @Test
    fun `a server that does not answer is given up after the timeout`() =
        test {
            val silent = ServerSocket(0)
            val api = Api("http://127.0.0.1:${silent.localPort}", httpOfTheJvm(), timeout = 100.milliseconds)
            problem(ProblemCode.TimedOut) { api.call(Operation.sendOtp, SendRequest(newNumber())) }
            silent.close()
            val refused = problem(ProblemCode.NoAnswer) { api.call(Operation.sendOtp, SendRequest(newNumber())) }
            assertEquals(0, refused.status)
        }

    @Test
    fun `a cancelled request ends its connection`() =
        test {
            ServerSocket(0).use { silent ->
                val ended = CountDownLatch(1)
                thread {
                    silent.accept().use { socket ->
                        // Reads the request, and then the end that the client makes.
                        socket.getInputStream().copyTo(OutputStream.nullOutputStream())
                        ended.countDown()
                    }
                }
                coroutineScope {
                    val api = Api("http://127.0.0.1:${silent.localPort}", httpOfTheJvm())
                    val call = async(Dispatchers.Default) { api.call(Operation.getMe) }
                    delay(200)
                    call.cancelAndJoin()
                    assertFailsWith<CancellationException> { call.await() }
                }
                assertTrue(ended.await(5, TimeUnit.SECONDS))
            }
        }

    @Test
    fun `a redirect is not followed, because the token is for one server`() =
        test {
            val response = httpOfTheJvm().exchange(HttpRequest("GET", "${world.base}/v1/me/"))
            assertEquals(404, response.status)
            ServerSocket(0).use { server ->
                thread {
                    server.accept().use {
                        it.getInputStream().read()
                        val answer = "HTTP/1.1 302 Found\r\nLocation: ${world.base}/v1/me\r\nContent-Length: 0\r\n\r\n"
                        it.getOutputStream().write(answer.encodeToByteArray())
                    }
                }
                val moved = httpOfTheJvm().exchange(HttpRequest("GET", "http://127.0.0.1:${server.localPort}/v1/me"))
                assertEquals(302, moved.status)
            }
        }

    @Test
    fun `a device whose clock is a day off proves its key with the server's time`() =
        test {
            val wire = Wire()
            val key = newKey()
            val clock = { System.currentTimeMillis() - 86_400_000 }
            val api = Api(world.base, wire, clock = clock) { key }
            api.call(Operation.sendOtp, SendRequest(newNumber()))
            api.call(Operation.sendOtp, SendRequest(newNumber()))
            assertEquals(listOf(401, 200, 200), wire.passed.map { it.status })
        }

    @Test
    fun `a key that does not sign is a problem, and nothing is sent`() =
        test {
            val wire = Wire()
            val broken =
                object : DeviceKey {
                    override val point = newKey().point

                    override suspend fun sign(bytes: ByteArray): ByteArray = throw GeneralSecurityException("broken")
                }
            val refused =
                problem(ProblemCode.KeyFailed) {
                    Api(world.base, wire) { broken }.call(Operation.sendOtp, SendRequest(newNumber()))
                }
            assertIs<GeneralSecurityException>(refused.cause)
            assertEquals(0, wire.passed.size)
        }

    @Test
    fun `what is no URL of HTTP is refused at once`() {
        for (url in listOf("auth.example.com", "ftp://auth.example.com", "http:///v1", "")) {
            assertFailsWith<IllegalArgumentException>(url) { Api(url) }
        }
        assertEquals("https://auth.example.com", Api("https://auth.example.com/").base)
    }

    @Test
    fun `an answer that cannot be read is not quoted`() =
        test {
            val wire = Wire()
            val tokens = """"token_type":"Bearer","access_token":"secret","refresh_token":"secret""""
            for (answer in listOf("{$tokens}", "{$tokens,\"expires_in\":\"secret\"}", "{$tokens", "secret")) {
                wire.answer("POST /v1/session/refresh", 200, answer, times = 3)
                val refused =
                    problem(ProblemCode.GatewayFailed) {
                        Api(world.base, wire).call(Operation.refreshSession, RefreshRequest("secret"))
                    }
                assertFalse("secret" in refused.stackTraceToString(), refused.stackTraceToString())
            }
        }

    @Test
    fun `nothing that holds a secret prints it`() {
        val submit = SubmitRequest.ofCode("+9779841234567", "042917")
        val tokens = Tokens("Bearer", "secret", 900, "secret", 900)
        for (value in listOf(submit, tokens, RefreshRequest("secret"), AccessToken("Bearer", "secret"))) {
            assertTrue(Regex("secret|042917|98412").find(value.toString()) == null, value.toString())
        }
    }

    private companion object {
        val world = World.start()

        @JvmStatic
        @AfterAll
        fun end() = world.close()
    }
}
