import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_ASSIGNED: _ClassVar[Reason]
    REASON_NOT_IN_TRAFFIC: _ClassVar[Reason]
    REASON_NOT_RUNNING: _ClassVar[Reason]
    REASON_ROLLED_BACK: _ClassVar[Reason]
    REASON_NO_KNOWN_CANDIDATE: _ClassVar[Reason]
    REASON_NO_SNAPSHOT: _ClassVar[Reason]
    REASON_SPOOL_FULL: _ClassVar[Reason]
    REASON_SHIPPED: _ClassVar[Reason]
    REASON_NOT_TARGETED: _ClassVar[Reason]
    REASON_IN_HOLDOUT: _ClassVar[Reason]
    REASON_NOT_IN_GROUP_SHARE: _ClassVar[Reason]
    REASON_FORCED: _ClassVar[Reason]

class RewardStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REWARD_STATUS_UNSPECIFIED: _ClassVar[RewardStatus]
    REWARD_STATUS_ACCEPTED: _ClassVar[RewardStatus]
    REWARD_STATUS_LATE: _ClassVar[RewardStatus]
    REWARD_STATUS_NOT_IN_EXPERIMENT: _ClassVar[RewardStatus]
    REWARD_STATUS_MALFORMED_REQUEST: _ClassVar[RewardStatus]
    REWARD_STATUS_MALFORMED_ID: _ClassVar[RewardStatus]
    REWARD_STATUS_FORGED_ID: _ClassVar[RewardStatus]
    REWARD_STATUS_EXPERIMENT_GONE: _ClassVar[RewardStatus]
    REWARD_STATUS_UNKNOWN_ARM: _ClassVar[RewardStatus]
    REWARD_STATUS_UNKNOWN_KIND: _ClassVar[RewardStatus]
    REWARD_STATUS_INVALID_VALUE: _ClassVar[RewardStatus]
    REWARD_STATUS_MISSING_REWARD_ID: _ClassVar[RewardStatus]
    REWARD_STATUS_IN_FUTURE: _ClassVar[RewardStatus]
    REWARD_STATUS_BEFORE_DECISION: _ClassVar[RewardStatus]
REASON_UNSPECIFIED: Reason
REASON_ASSIGNED: Reason
REASON_NOT_IN_TRAFFIC: Reason
REASON_NOT_RUNNING: Reason
REASON_ROLLED_BACK: Reason
REASON_NO_KNOWN_CANDIDATE: Reason
REASON_NO_SNAPSHOT: Reason
REASON_SPOOL_FULL: Reason
REASON_SHIPPED: Reason
REASON_NOT_TARGETED: Reason
REASON_IN_HOLDOUT: Reason
REASON_NOT_IN_GROUP_SHARE: Reason
REASON_FORCED: Reason
REWARD_STATUS_UNSPECIFIED: RewardStatus
REWARD_STATUS_ACCEPTED: RewardStatus
REWARD_STATUS_LATE: RewardStatus
REWARD_STATUS_NOT_IN_EXPERIMENT: RewardStatus
REWARD_STATUS_MALFORMED_REQUEST: RewardStatus
REWARD_STATUS_MALFORMED_ID: RewardStatus
REWARD_STATUS_FORGED_ID: RewardStatus
REWARD_STATUS_EXPERIMENT_GONE: RewardStatus
REWARD_STATUS_UNKNOWN_ARM: RewardStatus
REWARD_STATUS_UNKNOWN_KIND: RewardStatus
REWARD_STATUS_INVALID_VALUE: RewardStatus
REWARD_STATUS_MISSING_REWARD_ID: RewardStatus
REWARD_STATUS_IN_FUTURE: RewardStatus
REWARD_STATUS_BEFORE_DECISION: RewardStatus

class SelectRequest(_message.Message):
    __slots__ = ("experiment_id", "user_id", "candidate_ids", "slots", "attributes", "request_id")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_IDS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    experiment_id: str
    user_id: str
    candidate_ids: _containers.RepeatedScalarFieldContainer[str]
    slots: int
    attributes: _containers.ScalarMap[str, str]
    request_id: str
    def __init__(self, experiment_id: _Optional[str] = ..., user_id: _Optional[str] = ..., candidate_ids: _Optional[_Iterable[str]] = ..., slots: _Optional[int] = ..., attributes: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("arm_id", "slot", "propensity")
    ARM_ID_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    arm_id: str
    slot: int
    propensity: float
    def __init__(self, arm_id: _Optional[str] = ..., slot: _Optional[int] = ..., propensity: _Optional[float] = ...) -> None: ...

class SelectResponse(_message.Message):
    __slots__ = ("decision_id", "policy", "choices", "reason", "posterior_version")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    policy: str
    choices: _containers.RepeatedCompositeFieldContainer[Choice]
    reason: Reason
    posterior_version: int
    def __init__(self, decision_id: _Optional[str] = ..., policy: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[Choice, _Mapping]]] = ..., reason: _Optional[_Union[Reason, str]] = ..., posterior_version: _Optional[int] = ...) -> None: ...

class SelectBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SelectRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[SelectRequest, _Mapping]]] = ...) -> None: ...

class SelectBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SelectResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SelectResult, _Mapping]]] = ...) -> None: ...

class SelectResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: SelectResponse
    error: Error
    def __init__(self, response: _Optional[_Union[SelectResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class RewardRequest(_message.Message):
    __slots__ = ("decision_id", "arm_id", "value", "kind", "reward_id", "occurred_at", "source", "retract")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RETRACT_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    arm_id: str
    value: float
    kind: str
    reward_id: str
    occurred_at: _timestamp_pb2.Timestamp
    source: str
    retract: bool
    def __init__(self, decision_id: _Optional[str] = ..., arm_id: _Optional[str] = ..., value: _Optional[float] = ..., kind: _Optional[str] = ..., reward_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., retract: _Optional[bool] = ...) -> None: ...

class RewardResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: RewardStatus
    def __init__(self, status: _Optional[_Union[RewardStatus, str]] = ...) -> None: ...

class RewardBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RewardRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RewardRequest, _Mapping]]] = ...) -> None: ...

class RewardBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RewardResult]
    def __init__(self, results: _Optional[_Iterable[_Union[RewardResult, _Mapping]]] = ...) -> None: ...

class RewardResult(_message.Message):
    __slots__ = ("response", "error", "status")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    response: RewardResponse
    error: Error
    status: RewardStatus
    def __init__(self, response: _Optional[_Union[RewardResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., status: _Optional[_Union[RewardStatus, str]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
