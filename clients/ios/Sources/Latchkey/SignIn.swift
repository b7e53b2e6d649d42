// A sign-in from the number to the session, without an interface: a state, and the steps that change it.

import Combine
import Foundation

/// What is known of the code that was sent.
public struct Sent: Sendable, Unprinted {
    /// As the person typed it.
    public let phoneNumber: String
    public let expiresAt: Date
    /// From then on another message can be sent. It has the same code as long as that is valid.
    public let resendAt: Date
    public fileprivate(set) var attemptsLeft: Int
    fileprivate let challengeId: String
}

public enum SignInStep: Sendable {
    case number
    /// With `needsNewCode`, no more code is accepted until another one is sent.
    case code(Sent, needsNewCode: Bool)
    /// The code was right, but nobody has proven the number for long. A signed-in device may have been asked: once the person
    /// has approved there, call `approved`.
    case secondSignal(Sent, approvalAsked: Bool)
    /// The code was right, but the number's account was deleted (`account_deletion`) or has another number (`number_change`).
    case released(Sent, undoes: String, undoUntil: Date)
    /// The person has asked for the account of the number. From `opensAt` on, a new code and `recover` open it. After a refusal
    /// there is only `possibleAt`, from when on the person can ask again.
    case recovery(Sent, opensAt: Date?, closesAt: Date?, possibleAt: Date?)
    case signedIn(SignedIn)

    var sent: Sent? {
        switch self {
        case .number, .signedIn:
            return nil
        case .code(let sent, _), .secondSignal(let sent, _), .released(let sent, _, _), .recovery(let sent, _, _, _):
            return sent
        }
    }
}

@MainActor
public final class SignIn: ObservableObject {
    @Published public private(set) var step = SignInStep.number
    /// A request is on its way. The steps do nothing until it is answered.
    @Published public private(set) var isBusy = false
    /// Why the last step did not succeed.
    @Published public private(set) var problem: Problem?
    /// Until then, the step that was refused would be refused again.
    @Published public private(set) var waitUntil: Date?

    private let session: Session
    private let organizationId: String?
    private let deviceName: String?
    private let source: String?
    private var otp = ""
    /// The last submit that may not have been answered, and its key.
    private var unanswered: (request: Data, key: String)?

    /// - Parameters:
    ///   - deviceName: what the list of devices calls this one.
    ///   - source: where a new user came from, in the app's own words.
    public init(session: Session, organizationId: String? = nil, deviceName: String? = nil, source: String? = nil) {
        self.session = session
        self.organizationId = organizationId
        self.deviceName = deviceName
        self.source = source
    }

    /// Sends a code to a number in any form. A national one is read in the organization's default region.
    public func send(_ phoneNumber: String) async {
        await perform { [self] in
            let request = SendRequest(phoneNumber: phoneNumber, organizationId: organizationId, source: source)
            let answer: CodeSent
            do {
                answer = try await session.api.call(.sendOtp, request)
            } catch let problem as Problem where problem.code == .keyFailed {
                // Nobody could sign in with a key that never signs.
                guard await session.replaceKey() else { throw problem }
                answer = try await session.api.call(.sendOtp, request)
            }
            let after = { (seconds: Int) in Date().addingTimeInterval(TimeInterval(plausible(seconds) ?? 0)) }
            let sent = Sent(
                phoneNumber: phoneNumber,
                expiresAt: after(answer.expiresIn),
                resendAt: after(answer.resendIn),
                attemptsLeft: max(0, answer.attemptsLeft),
                challengeId: answer.challengeId
            )
            step = .code(sent, needsNewCode: sent.attemptsLeft == 0)
        }
    }

    /// Sends another message to the same number.
    public func resend() async {
        if let sent = step.sent { await send(sent.phoneNumber) }
    }

    /// Submits the code of the message. Digits of any script will do. Other devices can be signed out with it.
    public func submit(_ otp: String, signOutOthers: Bool = false) async {
        await submit(otp) { $0.signOutOthers = signOutOthers }
    }

    /// After an approval on another device.
    public func approved() async {
        await submit { _ in }
    }

    /// Takes the change of the number, or the deletion of the account, back.
    public func restore(signOutOthers: Bool = false) async {
        await submit {
            $0.restore = true
            $0.signOutOthers = signOutOthers
        }
    }

    /// Creates a new account for the number.
    public func freshAccount() async {
        await submit { $0.freshAccount = true }
    }

    /// Asks for the older account of the number, or opens it once the wait is over.
    public func recover() async {
        await submit { $0.recover = true }
    }

    /// Starts again, with another number.
    public func restart() {
        guard !isBusy else { return }
        step = .number
        problem = nil
        waitUntil = nil
    }

    private func submit(_ typed: String? = nil, _ way: @escaping (inout SubmitRequest) -> Void) async {
        guard let sent = step.sent else { return }
        await perform { [self] in
            otp = typed ?? otp
            var request = SubmitRequest()
            request.phoneNumber = sent.phoneNumber
            request.otp = otp
            request.challengeId = sent.challengeId
            request.organizationId = organizationId
            request.deviceName = deviceName
            request.source = source
            way(&request)
            // The server knows by the key that this is the same submit, whose answer was lost, and not another one.
            let text = try Json.encoder.encode(request)
            let key = unanswered?.request == text ? unanswered?.key ?? "" : UUID().uuidString
            unanswered = (text, key)
            do {
                let signedIn = try await session.api.call(.submitOtp, request, idempotencyKey: key)
                unanswered = nil
                try await session.signIn(signedIn)
                step = .signedIn(signedIn)
            } catch let problem as Problem where problem.body.code != nil && problem.code != .serviceUnavailable {
                unanswered = nil
                try await refused(sent, problem)
            }
        }
    }

    private func refused(_ before: Sent, _ problem: Problem) async throws {
        let ahead = await session.api.ahead
        let here = { (seconds: Int?) in plausible(seconds).map { Date(timeIntervalSince1970: TimeInterval($0) - ahead) } }
        // Each submit of a code has used one attempt, whatever became of it.
        var sent = before
        sent.attemptsLeft = problem.attemptsLeft ?? max(0, before.attemptsLeft - 1)
        let body = problem.body
        switch problem.code {
        case .secondSignalRequired:
            // The person said that they have approved, and nobody has.
            if case .secondSignal = step { self.problem = problem }
            step = .secondSignal(sent, approvalAsked: body.approvalAsked == true)
        case .numberReleased:
            let until = here(body.undoUntil) ?? Date()
            step = .released(sent, undoes: body.undoes ?? "number_change", undoUntil: until)
        case .recoveryPending, .recoveryRefused:
            let (opensAt, closesAt) = (here(body.opensAt), here(body.closesAt))
            step = .recovery(sent, opensAt: opensAt, closesAt: closesAt, possibleAt: here(body.possibleAt))
        case .incorrectOtp, .otpExpired, .tooManyAttempts:
            self.problem = problem
            step = .code(sent, needsNewCode: problem.code != .incorrectOtp || sent.attemptsLeft == 0)
        default:
            throw problem
        }
    }

    /// One request at a time: a second tap must not use a second attempt.
    private func perform(_ work: @escaping @MainActor () async throws -> Void) async {
        guard !isBusy else { return }
        isBusy = true
        problem = nil
        waitUntil = nil
        defer { isBusy = false }
        do {
            try await work()
        } catch let problem as Problem {
            self.problem = problem
            waitUntil = problem.retryAfter.map { Date().addingTimeInterval(TimeInterval($0)) }
        } catch {
            // The person left the screen.
        }
    }
}
