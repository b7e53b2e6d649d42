package latchkey

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import org.junit.jupiter.api.AfterAll
import java.io.File
import java.io.IOException
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds

private const val REFRESH = "POST /v1/session/refresh"
private const val ME = "GET /v1/me"
private const val ACCESS_TOKEN_SECONDS = 900L

class SessionTest {
    private suspend fun signedIn() = TestDevice(world).start().signIn()

    private fun eventsOf(device: TestDevice): List<SessionEvent> {
        val events = CopyOnWriteArrayList<SessionEvent>()
        CoroutineScope(Dispatchers.Unconfined).launch { device.session.events.collect { events += it } }
        return events
    }

    private fun restarted(
        device: TestDevice,
        keys: DeviceKeys = device.keys,
    ) = TestDevice(world, device.wire, device.store, keys)

    @Test
    fun `a sign-in is kept, and the next start of the app finds it`() =
        test {
            val device = TestDevice(world).start()
            val events = eventsOf(device)
            assertFalse(device.session.isSignedIn)
            assertNull(device.session.claims.value)
            device.signIn()
            assertEquals(listOf<SessionEvent>(SessionEvent.SignedIn), events)
            val again = restarted(device).start()
            val claims = assertNotNull(again.session.claims.value)
            assertEquals(
                device.session.claims.value
                    ?.sub,
                claims.sub,
            )
            assertTrue(claims.fresh)
            assertEquals(mapOf("default" to listOf(claims.org)), claims.roles)
            assertEquals(claims.sub, again.session.call(Operation.getMe).userId)
            assertEquals(0, device.wire.count(REFRESH))
        }

    @Test
    fun `the refresh token is bound to the device's key`() =
        test {
            val session = signedIn().session
            assertEquals(listOf(true), session.call(Operation.listSessions).sessions.map { it.hasDeviceKey })
        }

    @Test
    fun `many requests with an expired token cause one refresh`() =
        test {
            val device = signedIn()
            world.advance(ACCESS_TOKEN_SECONDS + 1)
            val answers =
                coroutineScope {
                    List(20) { async(Dispatchers.Default) { device.session.call(Operation.getMe) } }.awaitAll()
                }
            assertEquals(1, answers.map { it.userId }.distinct().size)
            assertEquals(1, device.wire.count(REFRESH))
        }

    @Test
    fun `many requests without a network fail together, not one after the other`() =
        test {
            val device = signedIn()
            world.advance(ACCESS_TOKEN_SECONDS + 1)
            device.wire.answer(REFRESH, 503, times = 100)
            coroutineScope {
                repeat(20) {
                    launch(Dispatchers.Default) {
                        problem(ProblemCode.GatewayFailed) { device.session.call(Operation.getMe) }
                    }
                }
            }
            // A request that was refused after the first refresh had failed starts another one.
            assertTrue(device.wire.count(REFRESH) <= 6, "${device.wire.count(REFRESH)} refreshes")
            assertTrue(device.session.isSignedIn)
        }

    @Test
    fun `a refresh goes on when the one who asked for it leaves`() =
        test {
            val device = signedIn()
            val events = eventsOf(device)
            coroutineScope {
                val leaving = launch(Dispatchers.Unconfined) { device.session.refresh() }
                leaving.cancelAndJoin()
            }
            withTimeout(5.seconds) { while (events.isEmpty()) delay(10) }
            assertEquals(listOf<SessionEvent>(SessionEvent.Refreshed), events)
        }

    @Test
    fun `a token that is about to expire is refreshed before a request, not after`() =
        test {
            val device = signedIn()
            device.session.call(Operation.getMe)
            assertEquals(0, device.wire.count(REFRESH))
            device.aheadSeconds = ACCESS_TOKEN_SECONDS - 20
            device.session.call(Operation.getMe)
            assertEquals(1, device.wire.count(REFRESH, 200))
            assertTrue(device.wire.passed.all { it.route != ME || it.status == 200 })
        }

    @Test
    fun `a lost answer to a refresh signs nobody out, however late it is asked again`() =
        test {
            val device = signedIn()
            device.wire.loseAnswer(REFRESH, 3)
            problem(ProblemCode.NoAnswer) { device.session.refresh() }
            assertTrue(device.session.isSignedIn)
            world.advance(3600)
            device.session.refresh()
            assertEquals(
                device.session.claims.value
                    ?.sub,
                device.session.call(Operation.getMe).userId,
            )
        }

    @Test
    fun `what says nothing about the session signs nobody out`() =
        test {
            val device = signedIn()
            val events = eventsOf(device)
            val refusals =
                listOf(
                    Triple(503, ProblemCode.ServiceUnavailable, 1),
                    Triple(401, ProblemCode.InvalidDpopProof, 2),
                    Triple(403, ProblemCode.EdgeRequired, 1),
                )
            for ((status, code, times) in refusals) {
                device.wire.answer(REFRESH, status, refusal(code, retryAfter = 30), times)
                problem(code) { device.session.refresh() }
                assertTrue(device.session.isSignedIn)
            }
            assertEquals(emptyList(), events)
        }

    @Test
    fun `a sign-out ends the session, and the device keeps its key`() =
        test {
            val device = signedIn()
            val events = eventsOf(device)
            val key = device.keys.find()
            device.session.signOut()
            assertEquals(listOf<SessionEvent>(SessionEvent.SignedOut(ProblemCode.SignedOut)), events)
            assertEquals(key, device.keys.find())
            assertNull(device.store.get("tokens"))
            assertNull(device.session.claims.value)
            problem(ProblemCode.SignedOut) { device.session.call(Operation.getMe) }
            problem(ProblemCode.SignedOut) { device.session.fetch(HttpRequest("GET", "${world.base}/v1/me")) }
            problem(ProblemCode.SignedOut) { device.session.refresh() }
        }

    @Test
    fun `a sign-out without a network removes the tokens, and says that the server does not know`() =
        test {
            val device = signedIn()
            device.wire.loseAnswer("DELETE /v1/session", 3)
            problem(ProblemCode.NoAnswer) { device.session.signOut() }
            assertFalse(device.session.isSignedIn)
            assertNull(device.store.get("tokens"))
        }

    @Test
    fun `a sign-out whose answer was lost succeeds at its repetition`() =
        test {
            val device = signedIn()
            device.wire.loseAnswer("DELETE /v1/session")
            device.session.signOut()
            assertFalse(device.session.isSignedIn)
        }

    @Test
    fun `signing out everywhere ends the sessions of all devices, and each hears the reason`() =
        test {
            val number = newNumber()
            val phone = TestDevice(world).start().signIn(number)
            val events = eventsOf(phone)
            world.advance(60)
            val tablet = TestDevice(world).start().signIn(number)
            tablet.session.signOutEverywhere()
            assertFalse(tablet.session.isSignedIn)
            problem(ProblemCode.SessionRevoked) { phone.session.call(Operation.getMe) }
            assertEquals(listOf<SessionEvent>(SessionEvent.SignedOut(ProblemCode.SessionRevoked)), events)
        }

    @Test
    fun `signing out everywhere without a network leaves everybody signed in`() =
        test {
            val device = signedIn()
            device.wire.answer("DELETE /v1/sessions", 503, times = 3)
            problem(ProblemCode.GatewayFailed) { device.session.signOutEverywhere() }
            assertTrue(device.session.isSignedIn)
        }

    @Test
    fun `a session that expired ends with that reason`() =
        test {
            val device = signedIn()
            val events = eventsOf(device)
            world.advance(31 * 86_400L)
            problem(ProblemCode.TokenExpired) { device.session.call(Operation.getMe) }
            assertEquals(listOf<SessionEvent>(SessionEvent.SignedOut(ProblemCode.TokenExpired)), events)
            assertNull(device.session.claims.first())
        }

    @Test
    fun `a session that ended says why, also where the tokens cannot be removed`() =
        test {
            val stuck =
                object : Store by MemoryStore() {
                    override suspend fun remove(name: String): Unit = throw IOException("the disk is full")
                }
            val device = TestDevice(world, store = stuck).start().signIn()
            val events = eventsOf(device)
            world.advance(31 * 86_400L)
            problem(ProblemCode.TokenExpired) { device.session.call(Operation.getMe) }
            assertEquals(listOf<SessionEvent>(SessionEvent.SignedOut(ProblemCode.TokenExpired)), events)
            problem(ProblemCode.TokenExpired) { restarted(device).start().session.call(Operation.getMe) }
        }

    @Test
    fun `a page in between signs nobody out`() =
        test {
            val device = signedIn()
            device.wire.answer("DELETE /v1/sessions", 200, "<html>a captive portal</html>", times = 3)
            problem(ProblemCode.GatewayFailed) { device.session.signOutEverywhere() }
            assertTrue(device.session.isSignedIn)
        }

    @Test
    fun `a second sign-in ends the first session, and is fresh`() =
        test {
            val number = newNumber()
            val device = TestDevice(world).start().signIn(number)
            device.session.refresh()
            assertEquals(
                false,
                device.session.claims.value
                    ?.fresh,
            )
            world.advance(60)
            device.signIn(number)
            assertEquals(
                true,
                device.session.claims.value
                    ?.fresh,
            )
            assertEquals(
                1,
                device.session
                    .call(Operation.listSessions)
                    .sessions.size,
            )
        }

    @Test
    fun `bound tokens without their key are of no use, so nobody is signed in`() =
        test {
            val device = signedIn()
            assertFalse(restarted(device, SoftwareKeys()).start().session.isSignedIn)
            assertTrue(restarted(device).start().session.isSignedIn)
        }

    @Test
    fun `a key that cannot be read while the app starts is read later`() =
        test {
            val device = signedIn()
            var isBusy = true
            val busy =
                object : DeviceKeys by device.keys {
                    override suspend fun find() = if (isBusy) throw IOException("busy") else device.keys.find()
                }
            val again = restarted(device, busy).start()
            assertFalse(again.session.isSignedIn)
            problem(ProblemCode.SignedOut) { again.session.call(Operation.getMe) }
            isBusy = false
            again.session.call(Operation.getMe)
            assertTrue(again.session.isSignedIn)
            assertNotNull(again.session.claims.value)
        }

    @Test
    fun `tokens that cannot be read while the app starts are read later`() =
        test {
            val device = signedIn()
            var isBusy = true
            val busy =
                object : Store by device.store {
                    override suspend fun get(name: String) =
                        if (isBusy) throw IOException("busy") else device.store.get(name)
                }
            val again = TestDevice(world, device.wire, busy, device.keys).start()
            assertFalse(again.session.isSignedIn)
            isBusy = false
            again.session.refresh()
            assertTrue(again.session.isSignedIn)
        }

    @Test
    fun `a request of one person is not sent as the next one`() =
        test {
            val device = signedIn()
            world.advance(ACCESS_TOKEN_SECONDS + 1)
            val number = newNumber()
            val next = SignIn(device.session)
            next.send(number)
            val late = device.wire.hold(REFRESH)
            val thread = Executors.newSingleThreadExecutor()
            thread.asCoroutineDispatcher().use { dispatcher ->
                coroutineScope {
                    val waiting = async(dispatcher) { runCatching { device.session.call(Operation.deleteMe) } }
                    late.asked.await()
                    // The request goes on only once somebody else is signed in.
                    val signedIn = CountDownLatch(1)
                    thread.execute(signedIn::await)
                    late.answer.complete(Unit)
                    next.submit(world.code(number))
                    signedIn.countDown()
                    problem(ProblemCode.SignedOut) { waiting.await().getOrThrow() }
                }
            }
            assertEquals(1, device.wire.count("DELETE /v1/me"))
            assertEquals(number, device.session.call(Operation.getMe).phoneNumber)
        }

    @Test
    fun `a sign-out that is answered late does not sign out the next person`() =
        test {
            val device = signedIn()
            val late = device.wire.hold("DELETE /v1/session")
            coroutineScope {
                val leaving = launch(Dispatchers.Default) { device.session.signOut() }
                late.asked.await()
                device.signIn()
                late.answer.complete(Unit)
                leaving.join()
            }
            assertTrue(device.session.isSignedIn)
            device.session.call(Operation.getMe)
        }

    @Test
    fun `a device without a key is signed in too`() =
        test {
            val none =
                object : DeviceKeys {
                    override suspend fun find() = null

                    override suspend fun findOrMake() = null

                    override suspend fun replace() = null
                }
            val device = TestDevice(world, keys = none).start().signIn()
            device.session.refresh()
            assertEquals(
                listOf(false),
                device.session
                    .call(Operation.listSessions)
                    .sessions
                    .map { it.hasDeviceKey },
            )
            assertTrue(restarted(device).start().session.isSignedIn)
        }

    @Test
    fun `a store that keeps nothing costs the next start alone`() =
        test {
            val full =
                object : Store by MemoryStore() {
                    override suspend fun put(
                        name: String,
                        value: String,
                    ): Unit = throw IOException("the disk is full")
                }
            val device = TestDevice(world, store = full).start().signIn()
            device.session.refresh()
            device.session.call(Operation.getMe)
            assertFalse(restarted(device).start().session.isSignedIn)
        }

    @Test
    fun `what another version kept signs nobody in`() =
        test {
            val device = TestDevice(world)
            for (kept in listOf("", "{}", "not JSON")) {
                device.store.put("tokens", kept)
                assertFalse(device.start().session.isSignedIn)
            }
        }

    @Test
    fun `fetch adds the token, refreshes once, and sends the body again`() =
        test {
            val device = signedIn()
            world.advance(ACCESS_TOKEN_SECONDS + 1)
            val headers = mapOf("content-type" to "application/json")
            val body = """{"name":"Sita Sharma"}""".encodeToByteArray()
            val response = device.session.fetch(HttpRequest("PATCH", "${world.base}/v1/me", headers, body))
            assertEquals("Sita Sharma", json.decodeFromString<Me>(response.text).name)
            assertEquals(1, device.wire.count(REFRESH, 200))
            assertEquals(2, device.wire.count("PATCH /v1/me"))
        }

    @Test
    fun `fetch refreshes after the refusal of API Gateway's authorizer, and returns a second refusal`() =
        test {
            for (refusal in listOf("""{"message":"Forbidden"}""", """{"Message":"User is not authorized"}""")) {
                val device = signedIn()
                device.wire.answer("GET /orders", 403, refusal, times = 2)
                val response = device.session.fetch(HttpRequest("GET", "${world.base}/orders"))
                assertEquals(403, response.status)
                assertEquals(refusal, response.text)
                assertEquals(1, device.wire.count(REFRESH, 200))
            }
        }

    @Test
    fun `fetch replaces an authorization that the request has`() =
        test {
            val device = signedIn()
            val request = HttpRequest("GET", "${world.base}/v1/me", mapOf("authorization" to "Bearer of-old"))
            assertEquals(200, device.session.fetch(request).status)
            val sent =
                device.wire.passed
                    .last()
                    .request.headers.keys
            assertEquals(listOf("Authorization"), sent.filter { it.equals("authorization", ignoreCase = true) })
        }

    @Test
    fun `fetch leaves the app's own refusals alone`() =
        test {
            val device = signedIn()
            device.wire.answer("GET /orders", 403, """{"error":"not your order"}""")
            device.wire.answer("GET /orders", 401, "no")
            assertEquals(403, device.session.fetch(HttpRequest("GET", "${world.base}/orders")).status)
            assertEquals(401, device.session.fetch(HttpRequest("GET", "${world.base}/orders")).status)
            assertEquals(0, device.wire.count(REFRESH))
        }

    @Test
    fun `fetch sends the token to no origin that was not named`() =
        test {
            val device = signedIn()
            val before = device.wire.passed.size
            val port = world.base.substringAfterLast(':')
            val others = listOf("http://localhost:$port", "https://127.0.0.1:$port", "http://127.0.0.1:$port@localhost")
            for (other in others) {
                assertFailsWith<IllegalArgumentException>(other) {
                    device.session.fetch(HttpRequest("GET", "$other/v1/me"))
                }
            }
            assertEquals(before, device.wire.passed.size)
            val named = restarted(device).start("http://localhost:$port")
            assertEquals(200, named.session.fetch(HttpRequest("GET", "http://localhost:$port/v1/me")).status)
        }

    @Test
    fun `where access tokens are bound too, each request has a proof`() =
        test {
            boundWorld().use { other ->
                val device = TestDevice(other).start().signIn()
                device.session.call(Operation.getMe)
                val me = HttpRequest("GET", "${other.base}/v1/me?fields=all")
                assertEquals(200, device.session.fetch(me).status)
                assertTrue(
                    device.wire.passed
                        .last()
                        .request.headers
                        .getValue("Authorization")
                        .startsWith("DPoP "),
                )
                device.session.refresh()
                assertEquals(200, device.session.fetch(me).status)
            }
        }

    @Test
    fun `the time of another server dates the proofs for it, and none for Latchkey`() =
        test {
            boundWorld().use { other ->
                val device = TestDevice(other).start("https://api.example.com").signIn()
                val answered = mapOf("date" to "Fri, 01 Jan 2038 00:00:00 GMT", "x-request-id" to "r")
                val refusal = refusal(ProblemCode.InvalidDpopProof).encodeToByteArray()
                device.wire.answers["GET https://api.example.com/orders"] = HttpResponse(401, answered, refusal)
                val orders = HttpRequest("GET", "https://api.example.com/orders")
                assertEquals(401, device.session.fetch(orders).status)
                device.session.call(Operation.getMe)
                device.session.refresh()
                val future = 2_145_916_800L - 60
                val isOfTheFuture = { passed: Passed ->
                    val headers = passed.request.headers.mapKeys { (name, _) -> name.lowercase() }
                    val issued = headers["dpop"]?.let { claimsOf<JsonObject>(it)["iat"] }
                    issued != null && issued.jsonPrimitive.long > future
                }
                val (theirs, latchkeys) = device.wire.passed.partition { it.route.endsWith("/orders") }
                assertEquals(listOf(false, true), theirs.map(isOfTheFuture))
                assertEquals(0, latchkeys.count(isOfTheFuture))
            }
        }

    @Test
    fun `a refusal that is deep ends nothing`() =
        test {
            val device = signedIn()
            val deep = "[".repeat(100_000) + "]".repeat(100_000)
            for (refusal in listOf(deep, """{"code":$deep}""", """{"more":$deep}""")) {
                device.wire.answer("GET /orders", 403, refusal)
                assertEquals(403, device.session.fetch(HttpRequest("GET", "${world.base}/orders")).status)
            }
            assertEquals(0, device.wire.count(REFRESH))
            device.wire.answer("GET /orders", 403, """{"more":[[{"a":[]}]],"message":"Forbidden"}""")
            assertEquals(404, device.session.fetch(HttpRequest("GET", "${world.base}/orders")).status)
            assertEquals(1, device.wire.count(REFRESH, 200))
        }

    @Test
    fun `tokens that cannot be read sign nobody in, and end nobody's session`() =
        test {
            val readable =
                signedIn().run {
                    val kept = json.parseToJsonElement(store.get("tokens")!!).jsonObject
                    listOf("accessToken", "refreshToken").map { kept.getValue(it).jsonPrimitive.content }
                }
            val tokens = { access: String, refresh: String ->
                """{"token_type":"Bearer","access_token":"$access","refresh_token":"$refresh","expires_in":900,""" +
                    """"refresh_expires_in":900}"""
            }
            for (odd in listOf("", "x", "a.b.c", "a.e30.c", "a.bnVsbA.c")) {
                val device = signedIn()
                device.wire.answer(REFRESH, 200, tokens(odd, readable[1]))
                problem(ProblemCode.GatewayFailed) { device.session.refresh() }
                assertEquals(
                    device.session.claims.value
                        ?.sub,
                    device.session.call(Operation.getMe).userId,
                )
            }
            for (odd in listOf("", "x", "a.b.c", "a.bnVsbA.c")) {
                val device = signedIn()
                device.wire.answer(REFRESH, 200, tokens(readable[0], odd))
                problem(ProblemCode.GatewayFailed) { device.session.refresh() }
                device.session.refresh()
            }
        }

    @Test
    fun `when another person signs in, the session of the earlier one ends, also with an expired token`() =
        test {
            for (isExpired in listOf(false, true)) {
                val first = newNumber()
                val elsewhere = TestDevice(world).start().signIn(first)
                world.advance(60)
                val device = TestDevice(world).start().signIn(first)
                if (isExpired) {
                    world.advance(ACCESS_TOKEN_SECONDS + 1)
                    device.aheadSeconds += ACCESS_TOKEN_SECONDS + 1
                }
                device.signIn()
                val sessions = elsewhere.session.call(Operation.listSessions).sessions
                assertEquals(listOf(true), sessions.map { it.current }, "expired: $isExpired")
            }
        }

    /** Another Latchkey, whose access tokens are bound too. */
    private fun boundWorld(): World {
        val template = File(project, "template.yaml").readText()
        val default = Regex("(\n {2}AccessTokenBinding:\n {4}Type: String\n {4}Default: )refresh")
        val file = File.createTempFile("template", ".yaml")
        file.writeText(template.replace(default, "$1all"))
        return World.start(file).also { file.delete() }
    }

    private companion object {
        val world = World.start()

        @JvmStatic
        @AfterAll
        fun end() = world.close()
    }
}
