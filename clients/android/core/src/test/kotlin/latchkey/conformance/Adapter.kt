// Drives the Kotlin client for the conformance scenes: one command a line in, one answer a line out.

package latchkey.conformance

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.KSerializer
import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.add
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.encodeToJsonElement
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import latchkey.DeviceKeys
import latchkey.MemoryStore
import latchkey.Operation
import latchkey.Problem
import latchkey.Session
import latchkey.SessionEvent
import latchkey.SignIn
import latchkey.SignInState
import latchkey.SoftwareKeys
import latchkey.Store
import latchkey.httpOfTheJvm
import latchkey.json
import kotlin.math.roundToLong

private class Device(
    val api: String,
    val aheadMilliseconds: Long,
    val store: Store,
    val keys: DeviceKeys,
    val events: MutableList<String>,
) {
    val clock = { System.currentTimeMillis() + aheadMilliseconds }
    lateinit var session: Session
    lateinit var flow: SignIn
    private var listening: Job? = null

    suspend fun start(name: String) {
        listening?.cancel()
        session = Session.open(api, store, keys, http = httpOfTheJvm(), clock = clock)
        flow = SignIn(session, deviceName = name)
        // Unconfined: the event is in the list before the call that caused it returns.
        listening =
            CoroutineScope(Dispatchers.Unconfined).launch {
                session.events.collect { events += it.told }
            }
    }
}

private val SessionEvent.told
    get() =
        when (this) {
            SessionEvent.SignedIn -> "signed-in"
            SessionEvent.Refreshed -> "refreshed"
            is SessionEvent.SignedOut -> "signed-out ${reason.text}"
        }

private fun told(problem: Problem) =
    buildJsonObject {
        put("code", problem.code.text)
        put("status", problem.status)
        problem.retryAfter?.let { put("retry_after", it) }
        problem.attemptsLeft?.let { put("attempts_left", it) }
    }

/** What a sign-in has come to. */
private fun stateOf(device: Device): JsonObject {
    val state = device.flow.state.value
    val step = state.step
    val seconds = { at: Long -> ((at - device.clock()) / 1000.0).roundToLong() }
    return buildJsonObject {
        put("problem", state.problem?.let(::told) ?: JsonNull)
        (step as? SignInState.AfterSend)?.let {
            put("attempts_left", it.sent.attemptsLeft)
            put("resend_in", seconds(it.sent.resendAt))
        }
        when (step) {
            SignInState.Number -> {
                put("step", "number")
            }

            is SignInState.Code -> {
                put("step", "code")
                put("needs_new_code", step.needsNewCode)
            }

            is SignInState.SecondSignal -> {
                put("step", "second-signal")
                put("approval_asked", step.approvalAsked)
            }

            is SignInState.Released -> {
                put("step", "released")
                put("undoes", step.undoes)
            }

            is SignInState.Recovery -> {
                put("step", "recovery")
                put("opens_in", step.opensAt?.let(seconds))
            }

            is SignInState.Done -> {
                put("step", "signed-in")
                json.encodeToJsonElement(step.signedIn).jsonObject.forEach { (name, value) -> put(name, value) }
            }
        }
    }
}

private suspend fun <Body, Answer> call(
    session: Session,
    operation: Operation<Body, Answer>,
    body: JsonElement?,
    times: Int,
): JsonElement =
    coroutineScope {
        val request =
            when {
                body == null && operation.body.descriptor == Unit.serializer().descriptor -> JsonObject(emptyMap())
                operation.body == String.serializer() -> body!!.jsonObject.values.first()
                else -> body ?: JsonNull
            }
        val decoded = json.decodeFromJsonElement(operation.body, request)
        val calls = List(times) { async(Dispatchers.Default) { session.call(operation, decoded) } }
        encoded(operation, calls.awaitAll().last())
    }

private fun <Answer> encoded(
    operation: Operation<*, Answer>,
    answer: Answer,
): JsonElement {
    @Suppress("UNCHECKED_CAST")
    return json.encodeToJsonElement(operation.answer as KSerializer<Answer>, answer)
}

private val devices = mutableMapOf<String, Device>()

/** By device, what goes on in the background. */
private val background = mutableMapOf<String, Deferred<JsonElement>>()

private suspend fun perform(command: JsonObject): JsonElement {
    fun text(name: String) = command.getValue(name).jsonPrimitive.content
    val name = text("device")
    if (text("do") == "open") {
        val ahead = (command["clock_ahead_seconds"]?.jsonPrimitive?.long ?: 0) * 1000
        val opened = Device(text("api"), ahead, MemoryStore(), SoftwareKeys(), mutableListOf())
        opened.start(name)
        devices[name] = opened
        return JsonNull
    }
    val device = devices.getValue(name)
    val flow = device.flow
    val session = device.session
    val others = command["sign_out_others"] == JsonPrimitive(true)
    when (val what = text("do")) {
        "wait" -> {
            return background.getValue(name).await()
        }

        "restart" -> {
            device.start(name)
            return JsonNull
        }

        "refresh" -> {
            session.refresh()
            return JsonNull
        }

        "sign_out" -> {
            if (text("from") == "all devices") session.signOutEverywhere() else session.signOut()
            return JsonNull
        }

        "call" -> {
            val operation = Operation.all.single { it.id == text("operation") }
            return call(session, operation, command["body"], command["times"]?.jsonPrimitive?.int ?: 1)
        }

        "state" -> {
            return buildJsonObject {
                put("signed_in", session.isSignedIn)
                putJsonArray("events") { device.events.forEach { add(it) } }
            }
        }

        "send" -> {
            flow.restart()
            flow.send(text("phone_number"))
        }

        "resend" -> {
            flow.resend()
        }

        "submit" -> {
            flow.submit(text("otp"), others)
        }

        "approved" -> {
            flow.approved()
        }

        "fresh_account" -> {
            flow.freshAccount()
        }

        "recover" -> {
            flow.recover()
        }

        "restore" -> {
            flow.restore(others)
        }

        else -> {
            error("no such command: $what")
        }
    }
    return stateOf(device)
}

fun main() =
    runBlocking {
        for (line in generateSequence(::readLine)) {
            val command = json.parseToJsonElement(line).jsonObject
            // In another thread: this one waits for the next line.
            val performed =
                async(Dispatchers.Default) {
                    try {
                        perform(command)
                    } catch (problem: Problem) {
                        buildJsonObject { put("problem", told(problem)) }
                    }
                }
            val isInBackground = command["in_background"] == JsonPrimitive(true)
            if (isInBackground) background[command.getValue("device").jsonPrimitive.content] = performed
            val answer = if (isInBackground) JsonNull else performed.await()
            println(
                buildJsonObject {
                    put("id", command.getValue("id"))
                    put("answer", answer)
                },
            )
        }
    }
