package acme

import android.app.Activity
import android.os.Bundle
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import latchkey.Operation
import latchkey.SignIn
import latchkey.SignInState

class SignInActivity : Activity() {
    private val scope = MainScope()
    private var flow: SignIn? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val text = TextView(this)
        val input = EditText(this)
        val button = Button(this).apply { setText("Go on") }
        setContentView(LinearLayout(this).apply { listOf(text, input, button).forEach(::addView) })
        scope.launch {
            val session = (application as Acme).session.await()
            if (session.isSignedIn) {
                text.text = session.call(Operation.getMe).phoneNumber
                return@launch
            }
            val flow = SignIn(session, saved = savedInstanceState?.getString("sign-in")).also { flow = it }
            button.setOnClickListener {
                val typed = input.text.toString()
                scope.launch { if (flow.state.value.step is SignInState.Code) flow.submit(typed) else flow.send(typed) }
            }
            flow.state.collect { state ->
                button.isEnabled = !state.isBusy
                val words =
                    when (val step = state.step) {
                        SignInState.Number -> "Enter your number"
                        is SignInState.Code -> "Enter the code (${step.sent.attemptsLeft} tries left)"
                        is SignInState.SecondSignal -> "Approve on your other device, or create a new account"
                        is SignInState.Released -> "Was it you? Take it back"
                        is SignInState.Recovery -> "Come back in a week"
                        is SignInState.Done -> "Signed in as ${step.signedIn.user.phoneNumber}"
                    }
                text.text = listOfNotNull(words, state.problem?.message).joinToString("\n")
            }
        }
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString("sign-in", flow?.saved())
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }
}
