package latchkey

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import org.junit.jupiter.api.AfterAll
import java.security.InvalidKeyException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

private const val SUBMIT = "POST /v1/otp/submit"

// The scenes in clients/conformance go through each state. Here is what they do not see.
class SignInTest {
    private fun wrong(code: String) = if (code == "000000") "111111" else "000000"

    @Test
    fun `a second tap uses no second attempt`() =
        test {
            val device = TestDevice(world).start()
            val flow = SignIn(device.session)
            val number = newNumber()
            flow.send(number)
            val code = world.code(number)
            coroutineScope { repeat(5) { launch(Dispatchers.Default) { flow.submit(wrong(code)) } } }
            // Those that came while a request was on its way did nothing.
            val step = assertIs<SignInState.Code>(flow.state.value.step)
            assertEquals(5 - device.wire.count(SUBMIT), step.sent.attemptsLeft)
            assertFalse(flow.state.value.isBusy)
        }

    @Test
    fun `a code that was given up on its way signs in at the next tap, once`() =
        test {
            val device = TestDevice(world).start()
            val flow = SignIn(device.session)
            val number = newNumber()
            flow.send(number)
            val code = world.code(number)
            device.wire.loseAnswer(SUBMIT, 3)
            flow.submit(code)
            assertEquals(
                ProblemCode.NoAnswer,
                flow.state.value.problem
                    ?.code,
            )
            flow.submit(code)
            assertIs<SignInState.Done>(flow.state.value.step)
            val keys = device.wire.passed.mapNotNull { it.request.headers["idempotency-key"] }
            assertEquals(4, keys.size)
            assertEquals(1, keys.distinct().size)
            assertEquals(
                1,
                device.session
                    .call(Operation.listSessions)
                    .sessions.size,
            )
        }

    @Test
    fun `a second tap with other digits changes nothing of what is sent later`() =
        test {
            val device = TestDevice(world).start()
            val flow = SignIn(device.session)
            val number = newNumber()
            flow.send(number)
            val code = world.code(number)
            val late = device.wire.hold(SUBMIT)
            coroutineScope {
                launch { flow.submit(wrong(code)) }
                late.asked.await()
                flow.submit(code)
                late.answer.complete(Unit)
            }
            flow.approved()
            assertEquals(2, device.wire.count(SUBMIT))
            assertIs<SignInState.Code>(flow.state.value.step)
        }

    @Test
    fun `another code has another key`() =
        test {
            val device = TestDevice(world).start()
            val flow = SignIn(device.session)
            val number = newNumber()
            flow.send(number)
            val code = world.code(number)
            flow.submit(wrong(code))
            flow.submit(wrong(code))
            val (first, second) = device.wire.passed.mapNotNull { it.request.headers["idempotency-key"] }
            assertNotEquals(first, second)
        }

    @Test
    fun `a person who leaves the screen can go on when they come back`() =
        test {
            val flow = SignIn(TestDevice(world).start().session)
            coroutineScope {
                val leaving = launch(Dispatchers.Unconfined) { flow.send(newNumber()) }
                assertTrue(flow.state.value.isBusy)
                leaving.cancelAndJoin()
            }
            assertFalse(flow.state.value.isBusy)
            assertEquals(SignInState.Number, flow.state.value.step)
            flow.send(newNumber())
            assertIs<SignInState.Code>(flow.state.value.step)
        }

    @Test
    fun `an app that Android ended goes on where the person was, and keeps no code`() =
        test {
            val device = TestDevice(world).start()
            val number = newNumber()
            val flow = SignIn(device.session)
            assertNull(flow.saved())
            flow.send(number)
            val code = world.code(number)
            flow.submit(wrong(code))
            val saved = assertNotNull(flow.saved())
            assertTrue(code !in saved && wrong(code) !in saved)
            val again = SignIn(device.session, saved = saved)
            assertEquals(4, assertIs<SignInState.Code>(again.state.value.step).sent.attemptsLeft)
            again.submit(code)
            assertIs<SignInState.Done>(again.state.value.step)
            assertNull(again.saved())
            assertIs<SignInState.Number>(SignIn(device.session, saved = "{}").state.value.step)
        }

    @Test
    fun `a wait is told by this device's clock`() =
        test {
            val device = TestDevice(world).start()
            device.aheadSeconds = 3600
            val flow = SignIn(device.session)
            val number = newNumber()
            flow.send(number)
            flow.resend()
            val wait = assertNotNull(flow.state.value.waitUntil) - System.currentTimeMillis()
            assertTrue(wait in 3_600_000..3_632_000, "$wait")
            val step = assertIs<SignInState.Code>(flow.state.value.step)
            assertTrue(step.sent.expiresAt - System.currentTimeMillis() in 4_190_000..4_201_000)
        }

    @Test
    fun `what the app says of itself reaches the account`() =
        test {
            val device = TestDevice(world).start()
            val flow =
                SignIn(
                    device.session,
                    deviceName = "Sita's phone",
                    source = "poster",
                    fcmToken = { "token-of-the-phone" },
                )
            val number = newNumber()
            flow.send(number)
            flow.submit(world.code(number))
            val done = assertIs<SignInState.Done>(flow.state.value.step)
            assertTrue(done.signedIn.isNewUser)
            assertEquals("poster", done.signedIn.user.source)
            val listed =
                device.session
                    .call(Operation.listSessions)
                    .sessions
                    .single()
            assertEquals("Sita's phone", listed.deviceName)
            assertNotNull(listed.fcmTokenAt)
        }

    /** A key that does not sign, and a Keystore that may make another one. */
    private class DeadKeys(
        private val makes: DeviceKey?,
    ) : DeviceKeys {
        private var key: DeviceKey =
            object : DeviceKey {
                override val point = newKey().point

                override suspend fun sign(bytes: ByteArray): ByteArray = throw InvalidKeyException("invalid key blob")
            }

        override suspend fun find() = key

        override suspend fun findOrMake() = key

        override suspend fun replace() = makes?.also { key = it }
    }

    @Test
    fun `a key that never signs is replaced at the next sign-in`() =
        test {
            val device = TestDevice(world, keys = DeadKeys(newKey())).start().signIn()
            assertTrue(
                device.session
                    .call(Operation.listSessions)
                    .sessions
                    .single()
                    .hasDeviceKey,
            )
            device.session.refresh()
        }

    @Test
    fun `a Keystore that makes no other key keeps the one that it has`() =
        test {
            val device = TestDevice(world, keys = DeadKeys(null)).start()
            val flow = SignIn(device.session)
            flow.send(newNumber())
            assertEquals(
                ProblemCode.KeyFailed,
                flow.state.value.problem
                    ?.code,
            )
            assertTrue(device.wire.passed.isEmpty())
        }

    @Test
    fun `the key of whoever is signed in is not replaced`() =
        test {
            val device = TestDevice(world).start().signIn()
            val keys = DeadKeys(newKey())
            val again = TestDevice(world, device.wire, device.store, keys).start()
            val flow = SignIn(again.session)
            flow.send(newNumber())
            assertEquals(
                ProblemCode.KeyFailed,
                flow.state.value.problem
                    ?.code,
            )
            assertTrue(again.session.isSignedIn)
        }

    @Test
    fun `a new name is set, and null removes it`() =
        test {
            val session = TestDevice(world).start().signIn().session
            val named =
                session.call(
                    Operation.patchMe,
                    PatchMeRequest(name = Change("Sita"), username = Change("sita")),
                )
            assertEquals(listOf("Sita", "sita"), listOf(named.name, named.username))
            val removed = session.call(Operation.patchMe, PatchMeRequest(name = Change(null)))
            assertEquals(listOf(null, "sita"), listOf(removed.name, removed.username))
        }

    private companion object {
        val world = World.start()

        @JvmStatic
        @AfterAll
        fun end() = world.close()
    }
}
