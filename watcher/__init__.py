"""Real-time call-quality alerting for Agora, Vonage Video and Twilio Video, inside each plan's request budget."""

__version__ = "0.1.0"
