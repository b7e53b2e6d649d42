package latchkey

import org.junit.jupiter.api.AfterAll
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNull

class PushTest {
    private val notice =
        mapOf(
            "type" to "account_notice",
            "event" to "phone_changed",
            "notice_id" to "ntc_1",
            "user_id" to "usr_1",
            "at" to "1795219200",
        )
    private val approval =
        mapOf("type" to "sign_in_approval", "challenge_id" to "chl_1", "expires_at" to "1795219200")

    @Test
    fun `messages are read`() {
        val told = assertIs<Push.AccountNotice>(Push.of(notice))
        assertEquals(Push.Event.PhoneChanged, told.event)
        assertEquals(listOf("ntc_1", "usr_1"), listOf(told.noticeId, told.userId))
        assertEquals(1795219200, told.at)
        val asked = assertIs<Push.SignInApproval>(Push.of(approval))
        assertEquals("chl_1", asked.challengeId)
        assertEquals(1795219200, asked.expiresAt)
    }

    @Test
    fun `what is not Latchkey's, incomplete or new is nothing to show`() {
        assertNull(Push.of(emptyMap()))
        assertNull(Push.of(mapOf("type" to "weather")))
        assertNull(Push.of(notice + ("event" to "moon_landing")))
        for (member in notice.keys) assertNull(Push.of(notice - member), member)
        for (member in approval.keys) assertNull(Push.of(approval - member), member)
        assertNull(Push.of(notice + ("at" to "yesterday")))
    }

    @Test
    fun `the events are those of the guide`() {
        val guide = File(project, "docs/integrate.md").readText()
        val section = guide.substringAfter("\n## Notices\n").substringBefore("\n## ")
        val events =
            Regex("(?m)^\\| `(\\w+)` \\|")
                .findAll(section)
                .map { it.groupValues[1] }
                .drop(1)
                .toList()
        assertEquals(events, Push.Event.entries.map { it.text })
    }

    @Test
    fun `the messages of a running server are read, and a sign-in is approved by one`() =
        test {
            val number = newNumber()
            val phone = TestDevice(world).start().signIn(number)
            phone.session.call(Operation.putFcmToken, FcmTokenRequest("token-of-the-phone"))
            world.advance(60)
            val tablet = TestDevice(world).start().signIn(number)
            val told = assertIs<Push.AccountNotice>(Push.of(world.push("account_notice")))
            assertEquals(Push.Event.NewDevice, told.event)
            assertEquals(
                phone.session.claims.value
                    ?.sub,
                told.userId,
            )
            tablet.session.signOut()
            // A number that nobody proves for 180 days is dormant. The phone stays signed in.
            repeat(7) {
                world.advance(28 * 86_400L)
                phone.session.refresh()
            }
            val flow = SignIn(TestDevice(world).start().session)
            flow.send(number)
            flow.submit(world.code(number))
            assertIs<SignInState.SecondSignal>(flow.state.value.step)
            val asked = assertIs<Push.SignInApproval>(Push.of(world.push("sign_in_approval")))
            phone.session.call(Operation.approveSignIn, ApprovalRequest(asked.challengeId))
            flow.approved()
            assertIs<SignInState.Done>(flow.state.value.step)
        }

    private companion object {
        val world = World.start()

        @JvmStatic
        @AfterAll
        fun end() = world.close()
    }
}
