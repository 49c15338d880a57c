"""How each reason to fail is answered: its status and its texts in English and Hindi."""

from typing import Final, NamedTuple

from grpc import StatusCode
from loyalty.v1.errors_pb2 import ErrorReason


class Entry(NamedTuple):
    """How one reason is answered. The texts are templates that the error's metadata fills."""

    code: StatusCode
    message: str
    """For developers: what happened and what to do."""
    cashier_en: str
    cashier_hi: str
    retry_delay_ms: int = 0
    """When a retry can help; 0 where it cannot."""


ENTRIES: Final = {
    ErrorReason.ERROR_REASON_UNSPECIFIED: Entry(
        StatusCode.UNKNOWN,
        "The failure has no reason, which is a defect of the service. Report it to the operator.",
        "Something went wrong. Call support.",
        "कुछ गड़बड़ हो गई है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_INVALID_FIELD: Entry(
        StatusCode.INVALID_ARGUMENT,
        "{field} is missing, malformed or out of its range. Correct the request.",
        "The till sent something that cannot be processed. Check the entry or call support.",
        "टिल से भेजी गई जानकारी सही नहीं है। जानकारी जाँचें या सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_REQUEST_ID_REUSED: Entry(
        StatusCode.INVALID_ARGUMENT,
        "The request id was used before with another payload; {field} differs. Send the original "
        "payload, or a new request id if this is a new command.",
        "This number was used for another transaction. Start the transaction again or call support.",
        "यह नंबर किसी दूसरे लेन-देन में इस्तेमाल हो चुका है। लेन-देन फिर से शुरू करें या सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_TILL_REFERENCE_REUSED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The till reference was used by another sale, {transaction}. Fetch that transaction: it "
        "is most likely this receipt, sent before under another request id.",
        "This receipt number is recorded already. Check the earlier receipt before you go on.",
        "इस नंबर की रसीद पहले से दर्ज है। आगे बढ़ने से पहले पिछली रसीद जाँचें।",
    ),
    ErrorReason.ERROR_REASON_MEMBER_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no such member, or no member with this identifier. Look the member up or enrol them.",
        "No member was found. Check the card or phone number, or enrol the customer.",
        "कोई सदस्य नहीं मिला। कार्ड या फ़ोन नंबर जाँचें, या ग्राहक को सदस्य बनाएँ।",
    ),
    ErrorReason.ERROR_REASON_PROGRAM_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no program {program}. Publish it or correct the name.",
        "The loyalty program is not set up. Call support.",
        "लॉयल्टी प्रोग्राम अभी तैयार नहीं है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_STORE_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no store {store}. Correct the store, or add it to the program.",
        "This store is not set up for the loyalty program. Call support.",
        "यह स्टोर लॉयल्टी प्रोग्राम में दर्ज नहीं है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_REWARD_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The program has no reward {reward_id}. Fetch the program for the present catalogue.",
        "This reward is not available. Choose another one.",
        "यह रिवॉर्ड उपलब्ध नहीं है। कोई दूसरा रिवॉर्ड चुनें।",
    ),
    ErrorReason.ERROR_REASON_HOLD_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The member has no hold {hold}. Check the hold's name and the member.",
        "No such reservation was found for this member. Check the member or reserve again.",
        "इस सदस्य का ऐसा कोई आरक्षण नहीं मिला। सदस्य को जाँचें या फिर से आरक्षित करें।",
    ),
    ErrorReason.ERROR_REASON_TRANSACTION_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no transaction with this name or request id: it did not happen, or it has not "
        "been sent yet. If it was made offline, send it first.",
        "The transaction was not found. Check the receipt number.",
        "यह लेन-देन नहीं मिला। रसीद नंबर जाँचें।",
    ),
    ErrorReason.ERROR_REASON_INSUFFICIENT_POINTS: Entry(
        StatusCode.FAILED_PRECONDITION,
        "{needed_points} points are needed and {available_points} are available. Offer a cheaper "
        "reward or another payment.",
        "Not enough points: {needed_points} needed, {available_points} available. Offer a "
        "cheaper reward or another payment.",
        "पॉइंट कम हैं: {needed_points} चाहिए, {available_points} उपलब्ध हैं। कम पॉइंट वाला रिवॉर्ड या "
        "भुगतान का दूसरा तरीका सुझाएँ।",
    ),
    ErrorReason.ERROR_REASON_HOLD_EXPIRED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The time of hold {hold} ran out and its points are back. Reserve again.",
        "The reservation has run out and the points are back. Reserve the reward again.",
        "आरक्षण का समय समाप्त हो गया है और पॉइंट वापस आ गए हैं। रिवॉर्ड फिर से आरक्षित करें।",
    ),
    ErrorReason.ERROR_REASON_HOLD_COMMITTED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The hold {hold} was committed already. To undo it, reverse that transaction.",
        "This reward has been redeemed already.",
        "यह रिवॉर्ड पहले ही भुनाया जा चुका है।",
    ),
    ErrorReason.ERROR_REASON_HOLD_RELEASED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The hold {hold} was released already. Reserve again.",
        "This reservation was cancelled. Reserve the reward again.",
        "यह आरक्षण रद्द हो चुका है। रिवॉर्ड फिर से आरक्षित करें।",
    ),
    ErrorReason.ERROR_REASON_ALREADY_REVERSED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The transaction was reversed already, by {reversal}. Nothing is left to do.",
        "This transaction was cancelled already. Nothing is left to do.",
        "यह लेन-देन पहले ही रद्द हो चुका है। कुछ और करने की ज़रूरत नहीं है।",
    ),
    ErrorReason.ERROR_REASON_REVERSED_BEFORE_ARRIVAL: Entry(
        StatusCode.FAILED_PRECONDITION,
        "A reversal of this command, {reversal}, arrived before the command itself. Do not send it again.",
        "This transaction was cancelled and is not recorded.",
        "यह लेन-देन रद्द किया जा चुका है और दर्ज नहीं होगा।",
    ),
    ErrorReason.ERROR_REASON_NOT_REVERSIBLE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "A transaction of type {type} cannot be reversed. Give a new command that corrects it.",
        "This kind of transaction cannot be cancelled. Correct it with a new one.",
        "इस तरह का लेन-देन रद्द नहीं किया जा सकता। इसे नए लेन-देन से ठीक करें।",
    ),
    ErrorReason.ERROR_REASON_RETURN_EXCEEDS_SALE: Entry(
        StatusCode.FAILED_PRECONDITION,
        'More comes back than was sold and not returned yet: of line "{line_id}", '
        "{left_quantity} units and {left_minor} minor units of money are left. Correct the "
        "return.",
        "More is being returned than is left on the receipt. Check the items and quantities.",
        "रसीद पर जितना बाकी है, उससे ज़्यादा लौटाया जा रहा है। सामान और मात्रा जाँचें।",
    ),
    ErrorReason.ERROR_REASON_LINE_NOT_FOUND: Entry(
        StatusCode.FAILED_PRECONDITION,
        'The sale has no line "{line_id}". Correct the return.',
        "This item is not on the receipt. Check the item.",
        "यह सामान रसीद पर नहीं है। सामान जाँचें।",
    ),
    ErrorReason.ERROR_REASON_SALE_OF_OTHER_MEMBER: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The sale {transaction} belongs to another member. Return it for the member who bought.",
        "This receipt belongs to another member. Use the card of the member who bought.",
        "यह रसीद किसी दूसरे सदस्य की है। जिस सदस्य ने ख़रीदा था, उसी का कार्ड इस्तेमाल करें।",
    ),
    ErrorReason.ERROR_REASON_SALE_NOT_FOUND: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The sale is not known, and the program refuses returns of unknown sales or too many wait "
        "already. Send the sale first.",
        "The sale of this return was not found. Check the receipt number.",
        "इस वापसी की बिक्री नहीं मिली। रसीद नंबर जाँचें।",
    ),
    ErrorReason.ERROR_REASON_IDENTIFIER_TAKEN: Entry(
        StatusCode.ALREADY_EXISTS,
        "An identifier belongs to another member and the program refuses a second enrolment. Look the member up.",
        "This card, phone or e-mail is registered already. Look the member up.",
        "यह कार्ड, फ़ोन या ई-मेल पहले से दर्ज है। सदस्य को खोजें।",
    ),
    ErrorReason.ERROR_REASON_OVERFLOW: Entry(
        StatusCode.FAILED_PRECONDITION,
        "A sum would exceed 9,223,372,036,854,775,807. Correct the amounts.",
        "The amounts are too large. Check the entry.",
        "राशि बहुत बड़ी है। दर्ज की गई राशि जाँचें।",
    ),
    ErrorReason.ERROR_REASON_ETAG_MISMATCH: Entry(
        StatusCode.ABORTED,
        "The etag is not the current one, which is {etag}. Read again, decide again.",
        "Somebody else changed this meanwhile. Load it again.",
        "इस बीच किसी और ने इसे बदल दिया है। इसे फिर से खोलें।",
    ),
    ErrorReason.ERROR_REASON_OVERLOADED: Entry(
        StatusCode.RESOURCE_EXHAUSTED,
        "The server has more commands waiting than it may hold. Retry after the delay, with the same request id.",
        "The system is busy. Please try again in a moment.",
        "सिस्टम अभी व्यस्त है। कृपया थोड़ी देर में फिर कोशिश करें।",
        retry_delay_ms=500,
    ),
    ErrorReason.ERROR_REASON_RATE_LIMITED: Entry(
        StatusCode.RESOURCE_EXHAUSTED,
        "The credential has tried as many identifiers and voucher codes as it may. Retry after the delay.",
        "This till has tried too many card numbers or voucher codes. Please wait a moment.",
        "इस टिल से बहुत ज़्यादा कार्ड नंबर या वाउचर कोड आज़माए गए हैं। कृपया थोड़ी देर रुकें।",
        retry_delay_ms=1_000,
    ),
    ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE: Entry(
        StatusCode.UNAVAILABLE,
        "The database cannot be reached, or the outcome is not known. Retry with the same request id.",
        "The connection was lost. Please try the same transaction again.",
        "संपर्क टूट गया है। कृपया वही लेन-देन फिर से भेजें।",
        retry_delay_ms=1_000,
    ),
    ErrorReason.ERROR_REASON_SHUTTING_DOWN: Entry(
        StatusCode.UNAVAILABLE,
        "The server is shutting down. Retry with the same request id.",
        "The system is restarting. Please try again in a moment.",
        "सिस्टम फिर से शुरू हो रहा है। कृपया थोड़ी देर में फिर कोशिश करें।",
        retry_delay_ms=500,
    ),
    ErrorReason.ERROR_REASON_DEADLINE_PASSED: Entry(
        StatusCode.DEADLINE_EXCEEDED,
        "The deadline had passed before the command was written; nothing was written. Retry with "
        "the same request id and more time.",
        "It took too long and nothing was recorded. Please try again.",
        "बहुत समय लग गया और कुछ दर्ज नहीं हुआ। कृपया फिर कोशिश करें।",
        retry_delay_ms=200,
    ),
    ErrorReason.ERROR_REASON_CREDENTIAL_INVALID: Entry(
        StatusCode.UNAUTHENTICATED,
        "The credential is missing, malformed, unknown or revoked. Ask the operator for a new one.",
        "This till is not signed in. Call support.",
        "यह टिल साइन-इन नहीं है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_NOT_ALLOWED: Entry(
        StatusCode.PERMISSION_DENIED,
        "The credential's role, store, terminal or program does not allow the call. Use the right credential.",
        "This till is not allowed to do that. Call the manager.",
        "इस टिल को इसकी अनुमति नहीं है। मैनेजर को बुलाएँ।",
    ),
    ErrorReason.ERROR_REASON_VIEW_BEHIND: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The view is at position {position} and did not reach min_position within the deadline. "
        "Retry, or read without min_position.",
        "The figures are not up to date yet. Please try again in a moment.",
        "आँकड़े अभी अपडेट हो रहे हैं। कृपया थोड़ी देर में फिर कोशिश करें।",
        retry_delay_ms=200,
    ),
    ErrorReason.ERROR_REASON_DATA_CORRUPT: Entry(
        StatusCode.DATA_LOSS,
        "Stored data contradicts itself: {where}. Stop and call the operator.",
        "There is a problem with this account. Call support.",
        "इस खाते में कोई समस्या है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_ARCHIVED: Entry(
        StatusCode.UNAVAILABLE,
        "What is asked for needs the archive: {where}. Call the operator, and try again then.",
        "This is so old that it has to be fetched from the archive. Call support.",
        "यह इतना पुराना है कि इसे संग्रह से लाना होगा। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_INTERNAL: Entry(
        StatusCode.INTERNAL,
        "A defect of the service, in its log as incident {incident}. Report it to the operator.",
        "Something went wrong. Call support and give them this number: {incident}.",
        "कुछ गड़बड़ हो गई है। सहायता केंद्र को यह नंबर बताएँ: {incident}।",
    ),
    ErrorReason.ERROR_REASON_REWARD_NOT_APPLICABLE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The reward cannot be had like this: its amount is more than what is left to pay, the points are no whole "
        "number of its steps, or it is only given, or only part of a sale. Release the hold, or correct the command.",
        "This reward does not fit this bill. Cancel the reservation or choose another reward.",
        "यह रिवॉर्ड इस बिल पर लागू नहीं होता। आरक्षण रद्द करें या दूसरा रिवॉर्ड चुनें।",
    ),
    ErrorReason.ERROR_REASON_POSITION_IN_FUTURE: Entry(
        StatusCode.OUT_OF_RANGE,
        "The position lies behind the end of the log. Start from a position that was handed out.",
        "The figures asked for do not exist yet. Call support.",
        "माँगे गए आँकड़े अभी मौजूद नहीं हैं। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_NOT_SIGNED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "Nothing of the log has been signed: it has no key, or its first event was recorded just now. "
        "Set LOYALTY_LOG_KEY_FILE and LOYALTY_CHECKPOINT_FILE on the server.",
        "The records are not signed. Call support.",
        "रिकॉर्ड पर हस्ताक्षर नहीं हैं। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_NOT_SEALED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The log is sealed and signed up to position {position} only. Retry in a second; where it stays so, "
        "call the operator.",
        "The records are not signed that far yet. Please try again in a moment.",
        "रिकॉर्ड पर अभी वहाँ तक हस्ताक्षर नहीं हुए हैं। कृपया थोड़ी देर में फिर कोशिश करें।",
        retry_delay_ms=1_000,
    ),
    ErrorReason.ERROR_REASON_VALUE_MODEL_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "{program} has no such value model. Run `loyalty value fit` for its first one.",
        "There is no forecast yet. Call support.",
        "अभी कोई पूर्वानुमान नहीं है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_TIER_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The program has no tier {tier}. Fetch the program for the present tiers.",
        "There is no such tier. Choose another one.",
        "ऐसा कोई टियर नहीं है। कोई दूसरा टियर चुनें।",
    ),
    ErrorReason.ERROR_REASON_NOTHING_PENDING: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The member has no such points that are pending. Read the member's balance.",
        "These points are not waiting any more. Check the member's balance.",
        "ये पॉइंट अब प्रतीक्षा में नहीं हैं। सदस्य का बैलेंस देखें।",
    ),
    ErrorReason.ERROR_REASON_OUT_OF_STOCK: Entry(
        StatusCode.FAILED_PRECONDITION,
        "There are not as many of the reward any more: {left} are left. Offer another one.",
        "This reward is gone: {left} left. Offer another one.",
        "यह रिवॉर्ड अब उपलब्ध नहीं है: {left} बचे हैं। कोई दूसरा रिवॉर्ड दें।",
    ),
    ErrorReason.ERROR_REASON_LIMIT_REACHED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The limit {limit} of the reward does not allow it: {left} are left. Offer another one, or fewer of it.",
        "The limit of this reward is reached. Offer another one.",
        "इस रिवॉर्ड की सीमा पूरी हो चुकी है। कोई दूसरा रिवॉर्ड दें।",
    ),
    ErrorReason.ERROR_REASON_CONDITIONS_NOT_MET: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The reward's conditions do not hold for this member, store, channel or time. Offer another one.",
        "This reward is not for this member, store or time. Offer another one.",
        "यह रिवॉर्ड इस सदस्य, स्टोर या समय के लिए नहीं है। कोई दूसरा रिवॉर्ड दें।",
    ),
    ErrorReason.ERROR_REASON_VOUCHER_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The member has no voucher with this code. Check the code and the member.",
        "This member has no voucher with this code. Check the code.",
        "इस सदस्य के पास इस कोड का कोई वाउचर नहीं है। कोड जाँचें।",
    ),
    ErrorReason.ERROR_REASON_VOUCHER_NOT_STARTED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The voucher cannot be used before {starts_at}. Use it then.",
        "This voucher cannot be used yet.",
        "यह वाउचर अभी इस्तेमाल नहीं किया जा सकता।",
    ),
    ErrorReason.ERROR_REASON_VOUCHER_EXPIRED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The voucher's time ran out at {expires_at}. Offer another one.",
        "This voucher has expired.",
        "इस वाउचर की अवधि समाप्त हो चुकी है।",
    ),
    ErrorReason.ERROR_REASON_VOUCHER_USED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The voucher was used before. Offer another one.",
        "This voucher has been used already.",
        "यह वाउचर पहले ही इस्तेमाल हो चुका है।",
    ),
    ErrorReason.ERROR_REASON_VOUCHER_REVOKED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The voucher was taken back. Offer another one.",
        "This voucher is not valid any more. Call the manager.",
        "यह वाउचर अब मान्य नहीं है। मैनेजर को बुलाएँ।",
    ),
    ErrorReason.ERROR_REASON_NOT_STACKABLE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The discounts {discount} and {other} do not go together. Leave one of them out.",
        "These discounts cannot be used together. Leave one of them out.",
        "ये छूट एक साथ नहीं दी जा सकतीं। उनमें से एक हटाएँ।",
    ),
    ErrorReason.ERROR_REASON_CODES_NOT_ACCEPTED: Entry(
        StatusCode.INVALID_ARGUMENT,
        "A code of the upload waits in the pool already, or there is room for {left} codes only. "
        "Leave out what was uploaded before.",
        "These codes were uploaded before, or are too many.",
        "ये कोड पहले ही अपलोड हो चुके हैं, या बहुत ज़्यादा हैं।",
    ),
    ErrorReason.ERROR_REASON_ENTITLEMENT_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The member has no entitlement {entitlement}. Check its name.",
        "This member has no such entitlement.",
        "इस सदस्य के पास ऐसा कोई अधिकार नहीं है।",
    ),
    ErrorReason.ERROR_REASON_ENTITLEMENT_NOT_USABLE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The entitlement cannot be used now: its state is {state}. Offer another one.",
        "This entitlement cannot be used now.",
        "यह अधिकार अभी इस्तेमाल नहीं किया जा सकता।",
    ),
    ErrorReason.ERROR_REASON_REWARD_FORGOTTEN: Entry(
        StatusCode.FAILED_PRECONDITION,
        "What the transaction issued was closed so long ago that nobody knows any more whether it was used:"
        " {issued}. Look it up in the member's list, and correct by hand.",
        "This is too long ago to be cancelled. Call the manager.",
        "इसे रद्द करने के लिए बहुत देर हो चुकी है। मैनेजर को बुलाएँ।",
    ),
    ErrorReason.ERROR_REASON_NOTHING_TO_EXTEND: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The member has no points whose expiry could be moved to that instant. Read the member's balance.",
        "No points can be extended to that date. Check the member's balance.",
        "उस तारीख़ तक बढ़ाने के लिए कोई पॉइंट नहीं हैं। सदस्य का बैलेंस देखें।",
    ),
    ErrorReason.ERROR_REASON_NOT_EXPIRED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "Only {expired_points} points have expired and not been given back. Ask for fewer.",
        "Only {expired_points} expired points can be given back.",
        "केवल {expired_points} समाप्त हुए पॉइंट वापस दिए जा सकते हैं।",
    ),
    ErrorReason.ERROR_REASON_CONSUMER_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no consumer {consumer}. Make it with CreateConsumer, or correct its name.",
        "The connected system is not registered. Call support.",
        "जुड़ा हुआ सिस्टम पंजीकृत नहीं है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_CONSUMER_EXISTS: Entry(
        StatusCode.ALREADY_EXISTS,
        "There is a consumer {consumer} with another program or other types. Choose another name.",
        "A connected system has this name already. Choose another name.",
        "इस नाम का सिस्टम पहले से जुड़ा है। कोई दूसरा नाम चुनें।",
    ),
    ErrorReason.ERROR_REASON_TOO_MANY_CONSUMERS: Entry(
        StatusCode.FAILED_PRECONDITION,
        "There are {limit} consumers, as many as may be. Delete those that nobody uses.",
        "Too many systems are connected. Call support.",
        "बहुत ज़्यादा सिस्टम जुड़े हुए हैं। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_CONSUMER_TAKEN_OVER: Entry(
        StatusCode.ABORTED,
        "A newer stream of {consumer} has taken over, or the consumer was deleted. End: somebody else reads instead.",
        "Another system has taken over this connection. Call support.",
        "किसी दूसरे सिस्टम ने यह कनेक्शन ले लिया है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_OTHER_LOG: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The position is of another log than this server's, {log_id}. Look whether it is the right server; if it is,"
        " begin anew with a snapshot.",
        "The connected system belongs to another server. Call support.",
        "जुड़ा हुआ सिस्टम किसी दूसरे सर्वर का है। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_CHANGES_ARCHIVED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The changes behind position {position} are in the archive, where this server cannot read them ({where})."
        " Call the operator, or begin anew with a snapshot: after_position 0, a consumer with a reset to 0.",
        "The connected system was away for too long. Call support.",
        "जुड़ा हुआ सिस्टम बहुत लंबे समय तक बंद रहा। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_MEMBER_ERASED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The member was erased at {erased_at}, for ever: nothing is recorded for them any more."
        " Serve the customer without a member, or enrol them anew.",
        "This membership has been deleted. The customer can join again.",
        "यह सदस्यता मिटा दी गई है। ग्राहक फिर से सदस्य बन सकता है।",
    ),
    ErrorReason.ERROR_REASON_CONSENT_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The program has no purpose of consent {purpose} with version {version} of the text {text}."
        " Fetch the program for the present ones, or publish the text first.",
        "This consent is not offered any more. Show the member the present text.",
        "यह सहमति अब नहीं माँगी जाती। सदस्य को मौजूदा पाठ दिखाएँ।",
    ),
    ErrorReason.ERROR_REASON_FEEDBACK_GIVEN: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The member has said what they think of it before. Nothing is left to do.",
        "The member has given feedback on this already.",
        "सदस्य इस पर पहले ही अपनी राय दे चुका है।",
    ),
    ErrorReason.ERROR_REASON_FEEDBACK_NOT_POSSIBLE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "Feedback about this is not possible: {why}. Correct the command.",
        "Feedback on this is not possible.",
        "इस पर राय नहीं दी जा सकती।",
    ),
    ErrorReason.ERROR_REASON_FEEDBACK_LINK_INVALID: Entry(
        StatusCode.NOT_FOUND,
        "No feedback link has this token, or what it was for has been erased. Make a new link.",
        "This link is not valid.",
        "यह लिंक मान्य नहीं है।",
    ),
    ErrorReason.ERROR_REASON_FEEDBACK_LINK_EXPIRED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The feedback link was valid until {expires_at}. Make a new link.",
        "This link is too old.",
        "यह लिंक बहुत पुराना हो गया है।",
    ),
    ErrorReason.ERROR_REASON_SEGMENT_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "There is no segment {segment}, or it was deleted. List the program's segments.",
        "This customer group does not exist.",
        "यह ग्राहक समूह मौजूद नहीं है।",
    ),
    ErrorReason.ERROR_REASON_SEGMENT_DELETED: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The segment {segment} was deleted, and its id stays taken. Save it under another id.",
        "This customer group was deleted. Use another name.",
        "यह ग्राहक समूह हटाया जा चुका है। कोई दूसरा नाम चुनें।",
    ),
    ErrorReason.ERROR_REASON_SEGMENT_IN_USE: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The segment {segment} cannot be deleted while {used_by} names it. Take it out there first.",
        "This customer group is still used by the loyalty program.",
        "यह ग्राहक समूह लॉयल्टी प्रोग्राम में अभी इस्तेमाल हो रहा है।",
    ),
    ErrorReason.ERROR_REASON_TOO_MANY_SEGMENTS: Entry(
        StatusCode.FAILED_PRECONDITION,
        "The program has {limit} segments, as many as it may. Delete those that nobody needs.",
        "There are too many customer groups. Call support.",
        "ग्राहक समूह बहुत ज़्यादा हैं। सहायता केंद्र को बताएँ।",
    ),
    ErrorReason.ERROR_REASON_IDENTIFIER_NOT_FOUND: Entry(
        StatusCode.NOT_FOUND,
        "The member has no such identifier to remove. Read the member's profile.",
        "This member does not have that card, number or address.",
        "इस सदस्य के पास यह कार्ड, नंबर या पता नहीं है।",
    ),
}
"""Every reason of errors.proto, which says more about each. A test holds the two alike."""
